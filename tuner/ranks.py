"""What several ranks add to a verdict: whose figures these are, and which rank holds the others up. Pure."""

from __future__ import annotations

from statistics import median

from gputune.numbers import plural, seconds
from gputune.probes.burst import Burst, RankUse
from gputune.record import Run

LATE_SHARE = 0.05
"""A rank that waits longer than the others by this part of a step holds them up."""


def count(burst: Burst) -> int:
    """Return how many ranks a burst was measured in."""
    return max(1, len(burst.ranks))


def straggler(burst: Burst) -> RankUse | None:
    """Return the rank whose loader is slower than the others', if one clearly is."""
    if len(burst.ranks) < 2:
        return None
    slowest = max(burst.ranks, key=lambda use: use.wait_s)
    others_s = median(use.wait_s for use in burst.ranks if use is not slowest)
    return slowest if slowest.wait_s - others_s > LATE_SHARE * slowest.period_s else None


def sentences(run: Run) -> list[str]:
    """Return what a reader has to know about the ranks of a run; nothing where there is one."""
    environment, base = run.environment, run.baseline
    if environment is None or environment.ranks < 2:
        return []
    said = [f"Ranks: {environment.ranks} on this machine, measured together; the figures are the whole job's."]
    if environment.ranks_elsewhere > 0:
        those = plural(environment.ranks_elsewhere, "rank")
        said.append(
            f"{those} of the job not measured (on another machine, or without a loader at that line); "
            "start them with gputune run, too, to give them the same settings."
        )
    late = straggler(base) if base else None
    if base is not None and late is not None:
        others_s = median(use.wait_s for use in base.ranks if use is not late)
        said.append(
            f"Straggler: rank {late.rank} waits {seconds(late.wait_s)} a step for its data, the others "
            f"{seconds(others_s)}; they wait for it where gradients are exchanged."
        )
    return said
