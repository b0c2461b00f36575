"""Requirements and a baseline -> checks over a run. Pure: what was measured is all they know.

A check fails only when the whole interval lies beyond its limit, and passes only when none of it does; between lies
inconclusive, which is a result too. Other processes widen intervals towards innocence: a slow-down no larger than what
they may have taken is not held against the script.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from enum import Enum
from statistics import median

import msgspec

from gputune import metrics, stats
from gputune.baseline import Baseline, fingerprint, neighbour_cores
from gputune.errors import ExitCode
from gputune.numbers import percent
from gputune.record import Run
from gputune.requirement import DEFAULT_MAX_REGRESSION, MAX_REGRESSION, Requirement
from gputune.stats import Estimate
from gputune.timeline import measured

SESSION_NOISE = 0.01
"""Two starts of one script on one machine differ by this much (memory layout, placement, clocks): half-width of the
interval that is added when a run is compared with a stored one. Adjacent pairs do not need it."""
QUIET_CORES = 0.3
"""Cores other processes may keep busy more than during the baseline before they count as a neighbour."""

MOST_EXCUSED = 0.5
"""However busy the others were: what takes twice as long has another reason."""


class Verdict(Enum):
    """What a check says."""

    PASS = "pass"
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One requirement held against a run."""

    requirement: Requirement
    verdict: Verdict
    estimate: Estimate | None = None
    """In the metric's unit; of a regression, throughput now / before."""
    reason: str = ""
    """Why nothing can be said, or what a verdict rests on."""
    more_helps: bool = False
    """Whether further rounds could decide it."""

    @property
    def shown(self) -> str:
        """The measured value with its interval."""
        if self.estimate is None:
            return "not measured"
        value, low, high = self.estimate.value, self.estimate.low, self.estimate.high
        if self.requirement.name == MAX_REGRESSION:
            change = f"{(value - 1) * 100:+.1f} %"
            span = f"{(low - 1) * 100:+.1f} to {(high - 1) * 100:+.1f}" if math.isfinite(high) else "unknown"
            return f"{change} (95 % interval {span})"
        show = self.requirement.metric.show
        return f"{show(value)} (95 % interval {show(low)} to {show(high)})"


class Gated(msgspec.Struct, frozen=True, kw_only=True):
    """All checks of a run."""

    checks: list[Check]

    @property
    def verdict(self) -> Verdict:
        """A failure outweighs doubt, doubt outweighs passes; nothing checked is doubt."""
        found = {check.verdict for check in self.checks}
        for verdict in (Verdict.FAIL, Verdict.INCONCLUSIVE):
            if verdict in found:
                return verdict
        return Verdict.PASS if found else Verdict.INCONCLUSIVE

    @property
    def exit_code(self) -> ExitCode:
        """0, 1 or 3."""
        codes = {Verdict.PASS: ExitCode.OK, Verdict.FAIL: ExitCode.GATE_FAILED}
        return codes.get(self.verdict, ExitCode.INCONCLUSIVE)

    @property
    def decided(self) -> bool:
        """Whether further rounds cannot change anything."""
        return not any(check.more_helps for check in self.checks)


def evaluate(
    run: Run, requirements: Sequence[Requirement], baseline: Baseline | None = None, confidence: float = 0.95
) -> Gated:
    """Hold requirements against a run.

    Args:
        run: of a profile or of a check.
        requirements: parsed; with something to compare with and no ``max_regression`` among them, 5 % is added.
        baseline: what throughput is compared with, unless the run holds bursts of another revision.
        confidence: of the intervals; 0.99 while more rounds may follow, because looking often finds something.
    """
    comparing = baseline is not None or any(entry.against for entry in run.rounds)
    asked = list(requirements)
    if comparing and not any(requirement.name == MAX_REGRESSION for requirement in asked):
        text = f"{MAX_REGRESSION} = {percent(DEFAULT_MAX_REGRESSION)}"
        asked.append(Requirement(name=MAX_REGRESSION, limit=DEFAULT_MAX_REGRESSION, text=text))
    checks: list[Check] = []
    for requirement in asked:
        if requirement.name == MAX_REGRESSION:
            checks += _regression(run, requirement, baseline, confidence)
        else:
            checks.append(_threshold(run, requirement, baseline, confidence))
    return Gated(checks=checks)


def _threshold(run: Run, requirement: Requirement, baseline: Baseline | None, confidence: float) -> Check:
    reading = metrics.read(run, requirement.name, confidence)
    if reading.estimate is None:
        return _unknown(requirement, reading.missing, more_helps=reading.more_helps)
    metric = requirement.metric
    if metric.absolute and baseline is not None and (others := _other_hardware(run, baseline)):
        return _unknown(requirement, f"limit is of other hardware: {others}", estimate=reading.estimate)
    if metric.name == "gpu_util" or metric.name.endswith("_stall"):
        return _judge(requirement, reading.estimate, requirement.limit, 0.0)
    return _judge(requirement, reading.estimate, requirement.limit, disturbance(run, None))


def acknowledge(gated: Gated, reason: str) -> Gated:
    """Return the checks with regressions accepted; thresholds are changed where they are written, not here."""

    def accept(check: Check) -> Check:
        if check.requirement.name != MAX_REGRESSION or check.verdict is not Verdict.FAIL:
            return check
        return msgspec.structs.replace(check, verdict=Verdict.PASS, reason=f"acknowledged: {reason}")

    return Gated(checks=[accept(check) for check in gated.checks])


def disturbance(run: Run, baseline: Baseline | None) -> float:
    """Return how much of its time the script may have lost to other processes; 0 when they were quiet.

    They cannot cost more than their part of the machine, beyond what they took during the baseline, nor much more
    than the CPU time the script used itself: sharing a core fairly at most doubles that.
    """
    before = baseline.other_cpu_cores if baseline else 0.0
    extra = neighbour_cores(run) - before
    cpus = run.machine.effective_cpus or run.machine.cpus
    if not cpus or extra <= QUIET_CORES:
        return 0.0
    own = [burst.host.cpu_cores for burst in metrics.user_bursts(run)]
    used = median([cores for cores in own if cores is not None] or [cpus])
    return min(MOST_EXCUSED, extra / cpus, used)


def _regression(run: Run, requirement: Requirement, baseline: Baseline | None, confidence: float) -> list[Check]:
    pairs = [
        stats.samples_per_s(entry.user) / stats.samples_per_s(entry.against)
        for entry in run.rounds
        if measured(entry.user) and measured(entry.against)
    ]
    limit = 1 - requirement.limit
    if pairs:
        return [_judge(requirement, stats.ratio_interval(pairs, confidence), limit, 0.0)]
    if baseline is None:
        return [_unknown(requirement, "there is no baseline to compare with")]
    if _arguments(run.command) != _arguments(baseline.command):
        return [_unknown(requirement, f"the baseline is of another command: {' '.join(baseline.command)}")]
    if others := _other_hardware(run, baseline):
        relative = _relative(run, requirement, baseline, confidence)
        return [_unknown(requirement, f"the baseline is of other hardware: {others}"), relative]
    rates = [stats.samples_per_s(burst) for burst in metrics.user_bursts(run)]
    ratio = _log_ratio(rates, baseline.samples_per_s, confidence)
    if ratio is None:
        return [_unknown(requirement, "too few repeats to compare", more_helps=True)]
    return [_judge(requirement, ratio, limit, disturbance(run, baseline))]


def _relative(run: Run, requirement: Requirement, baseline: Baseline, confidence: float) -> Check:
    """On other hardware the share of the ceiling can still be compared."""
    asked = msgspec.structs.replace(requirement, text=f"{requirement.text} (share of ceiling)")
    ratio = _log_ratio(metrics.ceiling_ratios(run), baseline.of_ceiling, confidence)
    if ratio is None:
        return _unknown(asked, "the share of the ceiling is not known for both", more_helps=bool(baseline.of_ceiling))
    return _judge(asked, ratio, 1 - requirement.limit, disturbance(run, baseline))


def _log_ratio(now: Sequence[float], before: Sequence[float], confidence: float) -> Estimate | None:
    """Return now / before with an interval that holds the noise of both and of two sessions."""
    if len(now) < 3 or len(before) < 3:
        return None
    a, b = stats.ratio_interval(now, confidence), stats.ratio_interval(before, confidence)
    half = math.hypot(math.log(a.high / a.value), math.log(b.high / b.value), SESSION_NOISE)
    value = a.value / b.value
    return Estimate(value, value * math.exp(-half), value * math.exp(half))


def _judge(requirement: Requirement, estimate: Estimate, limit: float, disturbed: float) -> Check:
    """Compare an interval with a limit, after giving the script the benefit of what others took."""
    low, high, why = estimate.low, estimate.high, ""
    higher = requirement.metric.higher_is_better
    if higher:
        kept, broken = _kept(low, limit, requirement.strict), not _kept(high, limit, requirement.strict)
        excused = _kept(high / max(1e-9, 1 - disturbed), limit, requirement.strict)
    else:
        kept, broken = _kept(-high, -limit, requirement.strict), not _kept(-low, -limit, requirement.strict)
        spared = 1 - (1 - low) / max(1e-9, 1 - disturbed) if _is_share(requirement) else low * (1 - disturbed)
        excused = _kept(-spared, -limit, requirement.strict)
    if broken and disturbed and excused:
        broken, why = (
            False,
            f"other processes may have cost it {percent(disturbed)} of its time, which is enough to explain this",
        )
    verdict = Verdict.PASS if kept else Verdict.FAIL if broken else Verdict.INCONCLUSIVE
    undecided = verdict is Verdict.INCONCLUSIVE
    why = why or ("the interval holds the limit: too noisy to tell" if undecided else "")
    return Check(requirement=requirement, verdict=verdict, estimate=estimate, reason=why, more_helps=undecided)


def _kept(value: float, limit: float, strict: bool) -> bool:
    return value > limit if strict else value >= limit


def _is_share(requirement: Requirement) -> bool:
    return requirement.name in ("starvation", "data_wait")


def _unknown(
    requirement: Requirement, reason: str, *, estimate: Estimate | None = None, more_helps: bool = False
) -> Check:
    return Check(
        requirement=requirement,
        verdict=Verdict.INCONCLUSIVE,
        estimate=estimate,
        reason=reason,
        more_helps=more_helps,
    )


def _other_hardware(run: Run, baseline: Baseline) -> str:
    return ", ".join(baseline.fingerprint.differences(fingerprint(run)))


def _arguments(command: Sequence[str]) -> list[str]:
    """Return a command without the folder of its script, which is not the same in two checkouts."""
    return [command[0].rsplit("/", 1)[-1], *command[1:]] if command else []
