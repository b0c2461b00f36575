"""The measured numbers that continuous benchmarking services take."""

from __future__ import annotations

import msgspec

from gputune import stats, verdict
from gputune.errors import InconclusiveError
from gputune.record import Run
from gputune.timeline import measured


class Measure(msgspec.Struct, frozen=True, kw_only=True):
    """One number, larger is better unless its name says otherwise."""

    name: str
    unit: str
    value: float
    low: float | None = None
    high: float | None = None


def of(run: Run) -> list[Measure]:
    """Return throughput with its interval, the ceiling and how much of it is used.

    Raises:
        InconclusiveError: nothing was measured.
    """
    if not measured(run.baseline):
        raise InconclusiveError(
            f"run {run.id} measured nothing ({run.status.value.replace('_', ' ')}): no numbers to export",
            f"see why: gputune report {run.id}",
        )
    found = [_throughput("throughput", stats.throughput(run.baseline))]
    judged = verdict.of(run)
    if run.ceiling and judged.ceiling_samples_per_s and judged.starvation is not None:
        found.append(_throughput("ceiling", stats.throughput(run.ceiling)))
        found.append(Measure(name="share of ceiling", unit="%", value=100 * (1 - judged.starvation)))
    return found


def _throughput(name: str, estimate: stats.Estimate) -> Measure:
    known = estimate.spread < float("inf")
    low, high = (estimate.low, estimate.high) if known else (None, None)
    return Measure(name=name, unit="samples/s", value=estimate.value, low=low, high=high)


def title(run: Run) -> str:
    """Return the name of the benchmark: the script, so that a series survives changed arguments."""
    command = run.command[1:] if run.command[:1] == ["-m"] else run.command
    return command[0].rsplit("/", 1)[-1] if command else run.id
