"""Requirements and a baseline -> checks over a run. Pure: what was measured is all they know.

A check fails only when the whole interval lies beyond its limit, and passes only when none of it does; between lies
inconclusive, which is a result too. Other processes widen intervals towards innocence: a slow-down no larger than what
they may have taken is not held against the script.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median

import msgspec

from gputune import metrics, neighbours, stats
from gputune.baseline import Baseline, fingerprint
from gputune.errors import ExitCode
from gputune.judging import Check, Verdict, judge
from gputune.numbers import percent
from gputune.probes.burst import Burst
from gputune.record import Run
from gputune.requirement import DEFAULT_MAX_REGRESSION, MAX_REGRESSION, Requirement
from gputune.stats import Estimate
from gputune.timeline import measured

SESSION_NOISE = 0.01
"""Two starts of one script on one machine differ by this much (memory layout, placement, clocks): half-width of the
interval that is added when a run is compared with a stored one. Adjacent pairs do not need it."""
QUIET_CORES = 0.3
"""Cores other processes may keep busy more than during the baseline before they count as a neighbour."""

NEIGHBOUR_SLOWDOWN, SIBLING_SLOWDOWN = 0.15, 0.4
"""How much slower code runs while others use the caches (measured: a sort beside a sort on the other core took
2-14 % longer), or the other hardware thread of its core."""


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
        return judge(requirement, reading.estimate, requirement.limit, 0.0)
    return judge(requirement, reading.estimate, requirement.limit, disturbance(run, None))


def acknowledge(gated: Gated, reason: str) -> Gated:
    """Return the checks with regressions accepted; thresholds are changed where they are written, not here."""

    def accept(check: Check) -> Check:
        if check.requirement.name != MAX_REGRESSION or check.verdict is not Verdict.FAIL:
            return check
        return msgspec.structs.replace(check, verdict=Verdict.PASS, reason=f"acknowledged: {reason}")

    return Gated(checks=[accept(check) for check in gated.checks])


def disturbance(run: Run, baseline: Baseline | None) -> float:
    """Return how much of its time the script may have lost to other processes; 0 when they were quiet.

    Where the kernel counts it, that is the time it stood in line for a CPU and the slowness of a shared machine.
    Elsewhere: no more than the others' part of the machine, beyond what they took during the baseline, nor much more
    than the CPU time the script used itself; sharing a core fairly at most doubles that. A negative number says that
    they were busier during the baseline, which flatters what is measured now.
    """
    extra, cpus, used = _extra_cores(run, baseline)
    if not cpus or abs(extra) <= QUIET_CORES:
        return 0.0
    lost = neighbours.lost_shares(metrics.user_bursts(run))
    if lost and baseline is None:
        return min(neighbours.MOST_LOST, median(lost) + slowness(run, None))
    return math.copysign(min(neighbours.MOST_LOST, abs(extra) / cpus, used), extra)


def slowness(run: Run, baseline: Baseline | None) -> float:
    """Return how much slower the script's code may have run because others used the caches and the cores' units."""
    extra, cpus, used = _extra_cores(run, baseline)
    if not cpus or abs(extra) <= QUIET_CORES:
        return 0.0
    slower = SIBLING_SLOWDOWN if run.machine.threads_per_core > 1 else NEIGHBOUR_SLOWDOWN
    return math.copysign(slower * min(1.0, used) * min(1.0, abs(extra) / cpus), extra)


def _extra_cores(run: Run, baseline: Baseline | None) -> tuple[float, float, float]:
    """Return the cores others kept busy beyond the baseline's, those of the machine, and those the script used."""
    bursts = metrics.user_bursts(run)
    extra = neighbours.cores(bursts) - (baseline.other_cpu_cores if baseline else 0.0)
    cpus = run.machine.effective_cpus or run.machine.cpus or 0.0
    own = [burst.host.cpu_cores for burst in bursts]
    return extra, cpus, median([cores for cores in own if cores is not None] or [cpus])


def _regression(run: Run, requirement: Requirement, baseline: Baseline | None, confidence: float) -> list[Check]:
    limit = 1 - requirement.limit
    if pairs := _pairs(run):
        return [judge(requirement, stats.ratio_interval(pairs, confidence), limit, 0.0)]
    if baseline is None:
        return [_unknown(requirement, "there is no baseline to compare with")]
    if _arguments(run.command) != _arguments(baseline.command):
        return [_unknown(requirement, f"the baseline is of another command: {' '.join(baseline.command)}")]
    if others := _other_hardware(run, baseline):
        relative = _relative(run, requirement, baseline, confidence)
        return [_unknown(requirement, f"the baseline is of other hardware: {others}"), relative]
    now, before = [stats.samples_per_s(burst) for burst in metrics.user_bursts(run)], baseline.samples_per_s
    lost_now, lost_before = neighbours.lost_shares(metrics.user_bursts(run)), baseline.lost_shares
    may_have_lost = disturbance(run, baseline)
    if lost_now and len(lost_before) == len(before):
        now, before = neighbours.undisturbed(now, lost_now), neighbours.undisturbed(before, lost_before)
        may_have_lost = slowness(run, baseline)
    ratio = _log_ratio(now, before, confidence)
    if ratio is None:
        return [_unknown(requirement, "too few repeats to compare", more_helps=True)]
    return [judge(requirement, ratio, limit, may_have_lost)]


def _pairs(run: Run) -> list[float]:
    """Return throughput now / at the older revision of every round, without what others cost where that is known."""
    now: list[Burst] = []
    before: list[Burst] = []
    for entry in run.rounds:
        if measured(entry.user) and measured(entry.against):
            now.append(entry.user)
            before.append(entry.against)
    sides = [[stats.samples_per_s(burst) for burst in side] for side in (now, before)]
    lost = [neighbours.lost_shares(side) for side in (now, before)]
    if all(lost):
        sides = [neighbours.undisturbed(*side) for side in zip(sides, lost, strict=True)]
    return [a / b for a, b in zip(*sides, strict=True)]


def _relative(run: Run, requirement: Requirement, baseline: Baseline, confidence: float) -> Check:
    """On other hardware the share of the ceiling can still be compared."""
    asked = msgspec.structs.replace(requirement, text=f"{requirement.text} (share of ceiling)")
    ratio = _log_ratio(metrics.ceiling_ratios(run), baseline.of_ceiling, confidence)
    if ratio is None:
        return _unknown(asked, "the share of the ceiling is not known for both", more_helps=bool(baseline.of_ceiling))
    return judge(asked, ratio, 1 - requirement.limit, disturbance(run, baseline))


def _log_ratio(now: Sequence[float], before: Sequence[float], confidence: float) -> Estimate | None:
    """Return now / before with an interval that holds the noise of both and of two sessions."""
    if len(now) < 3 or len(before) < 3:
        return None
    a, b = stats.ratio_interval(now, confidence), stats.ratio_interval(before, confidence)
    half = math.hypot(math.log(a.high / a.value), math.log(b.high / b.value), SESSION_NOISE)
    value = a.value / b.value
    return Estimate(value, value * math.exp(-half), value * math.exp(half))


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
