"""One measured interval against one limit, and what may excuse the result. Pure."""

from __future__ import annotations

import math
from enum import Enum

import msgspec

from gputune.numbers import percent
from gputune.requirement import MAX_REGRESSION, Requirement
from gputune.stats import Estimate


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


def judge(requirement: Requirement, estimate: Estimate, limit: float, disturbed: float) -> Check:
    """Compare an interval with a limit; a verdict that other processes may have caused is none."""
    kept, broken = _sides(requirement, estimate, limit)
    why = "" if kept or broken else "the interval holds the limit: too noisy to tell"
    without = _sides(requirement, _undisturbed(requirement, estimate, disturbed), limit)
    if broken and not without[1]:
        broken, why = False, f"other processes may have cost it {percent(disturbed)} of its time, which explains this"
    if kept and not without[0]:
        kept, why = (
            False,
            f"the baseline is too low: other processes may have cost it {percent(-disturbed)} of its time",
        )
    verdict = Verdict.PASS if kept else Verdict.FAIL if broken else Verdict.INCONCLUSIVE
    undecided = verdict is Verdict.INCONCLUSIVE
    return Check(requirement=requirement, verdict=verdict, estimate=estimate, reason=why, more_helps=undecided)


def _sides(requirement: Requirement, estimate: Estimate, limit: float) -> tuple[bool, bool]:
    """Return whether the whole interval keeps the limit, and whether all of it breaks it."""
    sign = 1 if requirement.metric.higher_is_better else -1
    worst, best = sorted((sign * estimate.low, sign * estimate.high))
    return _kept(worst, sign * limit, requirement.strict), not _kept(best, sign * limit, requirement.strict)


def _undisturbed(requirement: Requirement, estimate: Estimate, disturbed: float) -> Estimate:
    """Return what would have been measured had the other processes cost as much as they can have."""
    if not disturbed:
        return estimate
    factor = 1 / (1 - disturbed) if disturbed > 0 else 1 + disturbed
    if requirement.metric.higher_is_better:
        value, low, high = (part * factor for part in (estimate.value, estimate.low, estimate.high))
    elif requirement.name in ("starvation", "data_wait"):
        value, low, high = (1 - (1 - part) * factor for part in (estimate.value, estimate.low, estimate.high))
    else:
        value, low, high = (part / factor for part in (estimate.value, estimate.low, estimate.high))
    return Estimate(value, low, high)


def _kept(value: float, limit: float, strict: bool) -> bool:
    return value > limit if strict else value >= limit
