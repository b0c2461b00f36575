"""Checkpoints and log calls off the training thread: when that is worth trying, and which way is best. Pure.

The loader's model knows nothing of them, so they are proposed by evidence (a line of the ledger) once the loader's
settings are chosen, one burst each, long enough to hold what they change.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from gputune import cycles, ledger, stats
from gputune.ledger import Line, Quality
from gputune.probes.burst import Burst, Infeasible, StallKind
from gputune.probes.protocol import Length, LoaderSite
from gputune.probes.settings import SETTINGS, Settings
from gputune.proposal import Proposal
from gputune.record import Run

LINES = {"async_checkpoint": Line.CHECKPOINT, "async_logging": Line.LOGGING}
"""The line of the ledger that each setting takes off the training thread."""
WORTH = 0.01
"""A line below this share of the time is left where it is."""
KEEP = 0.01
"""What a change must gain to be kept."""
KEEP_OTHER_KIND = 0.05
"""What another kind of writer must gain over the first: a process costs a start and the memory of a second torch."""
PHASE = "offload"
BURST_S, LONGEST_BURST_S = 2.5, 40.0
"""A burst holds whole cycles of at least so many seconds; one that has met no two checkpoints by then is given up."""
EVENTS = 5
"""Log calls a burst holds at least, so that one more or less does not decide."""


def evident(baseline: Burst, site: LoaderSite | None = None) -> dict[str, float]:
    """Return the settings worth trying, the most promising first, with the share of time each could save."""
    book = ledger.of_burst(baseline, site)
    if book is None:
        return {}
    entries = {name: book.entry(line) for name, line in LINES.items()}
    shares = {n: e.share for n, e in entries.items() if e.quality is not Quality.MISSING and e.share > WORTH}
    return dict(sorted(shares.items(), key=lambda item: -item[1]))


def evident_in(run: Run) -> dict[str, float]:
    """Return the same for a run that has a baseline; a ``tf.data`` pipeline has no such settings."""
    if run.baseline is None or run.baseline.settings.pipeline is not None:
        return {}
    return evident(run.baseline, run.loader)


def length(baseline: Burst, names: Mapping[str, Any] | set[str]) -> Length:
    """Return how long a burst must be to hold what the settings change, from how often the baseline met it."""
    wanted = Length(warmup_batches=2, min_batches=10, min_s=BURST_S, max_s=LONGEST_BURST_S, precision=0.02)
    if "async_logging" in names:
        logged = sorted({stall.batch for stall in baseline.stalls if stall.kind is StallKind.LOGGING})
        gap = (logged[-1] - logged[0]) / (len(logged) - 1) if len(logged) > 1 else len(baseline.period_s)
        wanted = msgspec.structs.replace(wanted, min_batches=max(10, round(EVENTS * gap)))
    if "async_checkpoint" not in names:
        return msgspec.structs.replace(wanted, max_s=2 * BURST_S)
    known = cycles.of_burst(baseline)
    count = max(1, min(10, round(BURST_S / known.seconds_each))) if known else 1
    # The cycle that the burst begins in is not whole.
    longest_s = min(LONGEST_BURST_S, 2 * (count + 2) * known.seconds_each + BURST_S) if known else LONGEST_BURST_S
    return msgspec.structs.replace(wanted, checkpoints=count + 1, min_s=0.0, max_s=longest_s)


class Offloading:
    """Tries the process-wide settings one after the other on top of the loader settings found.

    Args:
        baseline: the burst under the user's settings.
        site: the training loader, for the length of an epoch.
        choices: the values of each setting that may be tried; those with one are left alone.
    """

    def __init__(self, baseline: Burst, site: LoaderSite | None, choices: Mapping[str, tuple[Any, ...]]) -> None:
        self._baseline = baseline
        shares = evident(baseline, site)
        self.shares = {name: share for name, share in shares.items() if len(choices.get(name, ())) > 1}
        self._untried = [(name, value) for name in self.shares for value in choices[name]]
        self._length = length(baseline, self.shares)
        self.best = baseline.settings
        self._rates: dict[Settings, float] = {}

    def begin(self, best: Settings) -> None:
        """Start from the loader settings that the search has found."""
        self.best = best
        self._untried = [(name, value) for name, value in self._untried if value != getattr(best, name)]
        if best == self._baseline.settings and (rate := self.samples_per_s(self._baseline)) is not None:
            self._rates[best] = rate

    def next(self) -> Proposal | None:
        """Return what to measure next, or ``None`` when everything evident has been tried."""
        if not self._untried:
            return None
        if self.best not in self._rates:
            return self._proposal(self.best, "checkpoints and log calls counted, to compare with")
        name, value = self._untried.pop(0)
        line = LINES[name].value
        why = f"{line} takes {self.shares[name]:.0%} of the time: {SETTINGS[name].name}={value}"
        return self._proposal(self.best.replace(**{name: value}), why)

    def learn(self, settings: Settings, result: Burst | Infeasible) -> None:
        """Add what :meth:`next` proposed."""
        rate = self.samples_per_s(result) if isinstance(result, Burst) else None
        if rate is None:
            if settings == self.best:
                self._untried.clear()  # nothing to compare with
            return
        self._rates[settings] = rate
        on_already = any(getattr(settings, n) != v != SETTINGS[n].choices[0] for n, v in self._values(self.best))
        keep = KEEP_OTHER_KIND if on_already else KEEP
        if settings != self.best and rate > (1 + keep) * self._rates[self.best]:
            self.best = settings

    def samples_per_s(self, burst: Burst) -> float | None:
        """Return samples a second with checkpoints; ``None`` where they matter and the burst met too few."""
        if "async_checkpoint" in self.shares:
            return cycles.samples_per_s(burst)
        return stats.samples_per_s(burst)

    def value(self, burst: Burst) -> float:
        """Return what the study maximises: a burst too short for checkpoints is charged with the baseline's."""
        met, known = self.samples_per_s(burst), cycles.of_burst(self._baseline)
        plain = stats.samples_per_s(burst)
        if met is not None or known is None or not plain:
            return met or plain
        return 1 / (1 / plain + known.calls_s / known.samples)

    def _values(self, settings: Settings) -> list[tuple[str, Any]]:
        return [(name, getattr(settings, name)) for name in self.shares]

    def _proposal(self, settings: Settings, why: str) -> Proposal:
        return Proposal(settings=settings, phase=PHASE, why=why, length=self._length)
