"""Two runs -> what changed, and whether the change can be told from noise. Pure."""

from __future__ import annotations

import math
from enum import Enum

import msgspec

from gputune import ledger, stats
from gputune.errors import InconclusiveError
from gputune.probes.burst import Burst
from gputune.record import Run
from gputune.timeline import measured

MOVED_SHARE = 0.01
"""A ledger line that moved by less than this share of a step did not move."""


class Change(Enum):
    """What a comparison says."""

    FASTER = "faster"
    SLOWER = "slower"
    SAME = "same"
    UNCLEAR = "unclear"


class LineChange(msgspec.Struct, frozen=True):
    """One ledger line in both runs, seconds of an average step."""

    line: ledger.Line
    before_s: float
    after_s: float


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """Run B against run A, both under their user's own settings."""

    ratio: stats.Estimate
    """Throughput of B / throughput of A, with its 95 % interval."""
    change: Change
    lines: list[LineChange]
    """Lines that are known in both runs, the one that moved most first."""
    differences: list[str] = []
    """What else differs: machine, GPU, torch, settings."""

    @property
    def moved(self) -> LineChange | None:
        """The line that moved most, when any did."""
        total_s = sum(line.before_s for line in self.lines)
        first = self.lines[0] if self.lines else None
        return first if first and abs(first.after_s - first.before_s) > MOVED_SHARE * total_s else None


def of(a: Run, b: Run) -> Comparison:
    """Compare two runs.

    Raises:
        InconclusiveError: one of them measured nothing.
    """
    first, second = _log_rate(a), _log_rate(b)
    value, half = second[0] - first[0], math.hypot(first[1], second[1])
    low, high = (math.exp(value - half), math.exp(value + half)) if math.isfinite(half) else (0.0, math.inf)
    ratio = stats.Estimate(math.exp(value), low, high)
    return Comparison(ratio=ratio, change=judge(ratio), lines=_lines(a, b), differences=_differences(a, b))


def judge(ratio: stats.Estimate) -> Change:
    """Return the verdict: a change needs an interval without 1 and an effect that matters."""
    effect = stats.MIN_EFFECT
    if ratio.low > 1 and ratio.value >= 1 + effect:
        return Change.FASTER
    if ratio.high < 1 and ratio.value <= 1 - effect:
        return Change.SLOWER
    # No change is a claim too: it needs an interval that has no room for a change of twice what matters.
    return Change.SAME if ratio.low > 1 - 2 * effect and ratio.high < 1 + 2 * effect else Change.UNCLEAR


def _log_rate(run: Run) -> tuple[float, float]:
    """Return the logarithm of a run's throughput and the half-width of its 95 % interval.

    The user's bursts of a proof or a check are separate stretches, whose spread holds the drift of the machine;
    a baseline alone only knows its own.
    """
    bursts = [run.baseline] if measured(run.baseline) else []
    bursts += [pair.user for pair in run.proof.pairs if measured(pair.user)] if run.proof else []
    bursts += [entry.user for entry in run.rounds if measured(entry.user)]
    if not bursts:
        raise InconclusiveError(f"run {run.id} measured nothing to compare", f"see why: gputune report {run.id}")
    if len(bursts) >= 3:
        estimate = stats.ratio_interval([stats.samples_per_s(burst) for burst in bursts])
    else:
        estimate = stats.throughput(bursts[0], 0.95)
    known = estimate.low > 0 and math.isfinite(estimate.high)
    return math.log(estimate.value), math.log(estimate.high / estimate.low) / 2 if known else math.inf


def _lines(a: Run, b: Run) -> list[LineChange]:
    books = [ledger.of_burst(run.baseline, run.loader) for run in (a, b) if isinstance(run.baseline, Burst)]
    before, after = [*books, None, None][:2]
    if before is None or after is None:
        return []
    missing = ledger.Quality.MISSING
    pairs = [(before.entry(line), after.entry(line)) for line in ledger.Line if line is not ledger.Line.WARMUP]
    known = [(x, y) for x, y in pairs if x.quality is not missing and y.quality is not missing]
    lines = [LineChange(x.line, x.step_s, y.step_s) for x, y in known]
    return sorted(lines, key=lambda line: -abs(line.after_s - line.before_s))


def _differences(a: Run, b: Run) -> list[str]:
    facts = [
        ("command", _command(a), _command(b)),
        ("CPUs", a.machine.effective_cpus, b.machine.effective_cpus),
    ]
    facts += [("GPU", a.machine.gpu, b.machine.gpu), ("CPU", a.machine.cpu_model, b.machine.cpu_model)]
    if a.environment and b.environment:
        facts += [("torch", a.environment.torch, b.environment.torch)]
        facts += [("device", a.environment.device_name, b.environment.device_name)]
    if a.baseline and b.baseline:
        changed = a.baseline.settings.differences(b.baseline.settings)
        facts += [(name, mine, theirs) for name, (mine, theirs) in changed.items()]
    return [f"{name} {_shown(mine)} -> {_shown(theirs)}" for name, mine, theirs in facts if mine != theirs]


def _shown(value: object) -> str:
    return "none" if value in (None, "") else str(value)


def _command(run: Run) -> str:
    return " ".join(run.command)
