"""The numbers a gate looks at, each with its interval, taken from a stored run. Pure.

Where a run holds rounds (a check) or the bursts of a proof, the spread between them is the noise: it holds the drift
of the machine, which the spread inside one burst does not.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import NormalDist, fmean, stdev

import msgspec

from gputune import ledger, stats
from gputune.probes.batch_means import t_quantile
from gputune.probes.burst import Burst, StallKind
from gputune.record import Run
from gputune.requirement import METRICS
from gputune.stats import Estimate
from gputune.timeline import measured

NO_BURST = "nothing was measured"
_STALLS = {
    "copy_stall": (ledger.Line.COPY, StallKind.COPY),
    "logging_stall": (ledger.Line.LOGGING, StallKind.LOGGING),
    "checkpoint_stall": (ledger.Line.CHECKPOINT, StallKind.CHECKPOINT),
    "validation_stall": (ledger.Line.VALIDATION, StallKind.VALIDATION),
    "epoch_stall": (ledger.Line.EPOCH, StallKind.EPOCH),
}


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """A metric of a run."""

    estimate: Estimate | None = None
    missing: str = ""
    """Why there is no estimate."""
    more_helps: bool = True
    """Whether further rounds could give an estimate or narrow it."""


def user_bursts(run: Run) -> list[Burst]:
    """Return the measured bursts under the user's own settings: rounds, else baseline and proof."""
    bursts = [entry.user for entry in run.rounds]
    if not bursts:
        bursts = [run.baseline] if run.baseline else []
        bursts += [pair.user for pair in run.proof.pairs] if run.proof else []
    return [burst for burst in bursts if measured(burst)]


def ceiling_ratios(run: Run) -> list[float]:
    """Return user / ceiling throughput of every round that has both."""
    return [
        stats.samples_per_s(entry.user) / stats.samples_per_s(entry.ceiling)
        for entry in run.rounds
        if measured(entry.user) and measured(entry.ceiling)
    ]


def read(run: Run, name: str, confidence: float = 0.95) -> Reading:
    """Return a metric of a run.

    Args:
        run: a stored run, of a profile or of a check.
        name: a key of :data:`gputune.requirement.METRICS`.
        confidence: 0.90, 0.95 or 0.99.
    """
    bursts = user_bursts(run)
    if not bursts:
        return Reading(missing=NO_BURST, more_helps=False)
    if name in _STALLS:
        return _stall(run, name, bursts, confidence)
    reader = _READERS[name]
    return reader(run, bursts, confidence)


def throughput(run: Run, bursts: Sequence[Burst], confidence: float) -> Reading:
    """Return sustained samples/s."""
    if len(bursts) >= 3:
        return Reading(estimate=stats.ratio_interval([stats.samples_per_s(burst) for burst in bursts], confidence))
    found = [stats.throughput(burst, confidence) for burst in bursts]
    hull = Estimate(fmean(e.value for e in found), min(e.low for e in found), max(e.high for e in found))
    return Reading(estimate=hull)


def _step_time(run: Run, bursts: Sequence[Burst], confidence: float) -> Reading:
    if len(bursts) >= 3:
        return Reading(estimate=means([fmean(burst.period_s) for burst in bursts], confidence))
    periods = [period for burst in bursts for period in burst.period_s]
    return Reading(estimate=stats.mean_interval(periods, confidence, max(1, bursts[0].settings.num_workers)))


def _step_p95(run: Run, bursts: Sequence[Burst], confidence: float) -> Reading:
    """Return the 95th percentile of all periods with the distribution-free interval of its order statistics."""
    periods = sorted(period for burst in bursts for period in burst.period_s)
    count, quantile = len(periods), 0.95
    half = NormalDist().inv_cdf((1 + confidence) / 2) * math.sqrt(count * quantile * (1 - quantile))
    low, high = math.floor(count * quantile - half), math.ceil(count * quantile + half)
    value = periods[min(count - 1, math.ceil(count * quantile) - 1)]
    upper = periods[high - 1] if high <= count else math.inf
    return Reading(estimate=Estimate(value, periods[max(0, low - 1)], upper))


def _of_ceiling(run: Run, bursts: Sequence[Burst], confidence: float) -> Reading:
    """Return throughput / ceiling: from adjacent bursts where there are some, else from their two intervals."""
    ratios = ceiling_ratios(run)
    if len(ratios) >= 3:
        return Reading(estimate=stats.ratio_interval(ratios, confidence))
    if not measured(run.ceiling):
        return Reading(missing="the speed with free data was not measured")
    mine = throughput(run, bursts, confidence).estimate
    free = stats.throughput(run.ceiling, confidence)
    assert mine is not None
    low = mine.low / free.high if math.isfinite(free.high) else 0.0
    high = mine.high / free.low if free.low > 0 else math.inf
    return Reading(estimate=Estimate(mine.value / free.value, low, high))


def _starvation(run: Run, bursts: Sequence[Burst], confidence: float) -> Reading:
    found = _of_ceiling(run, bursts, confidence)
    if found.estimate is None:
        return found
    value, low, high = (max(0.0, 1 - part) for part in (found.estimate.value, found.estimate.high, found.estimate.low))
    return Reading(estimate=Estimate(value, low, high))


def _data_wait(run: Run, bursts: Sequence[Burst], confidence: float) -> Reading:
    if len(bursts) >= 3:
        return Reading(estimate=_share(means([stats.data_wait_share(burst) for burst in bursts], confidence)))
    waits = [wait for burst in bursts for wait in burst.wait_s]
    period_s = fmean(period for burst in bursts for period in burst.period_s)
    found = stats.mean_interval(waits, confidence, max(1, bursts[0].settings.num_workers))
    return Reading(estimate=_share(Estimate(found.value / period_s, found.low / period_s, found.high / period_s)))


def _gpu_util(run: Run, bursts: Sequence[Burst], confidence: float) -> Reading:
    values = [burst.gpu.utilization / 100 for burst in bursts if burst.gpu.utilization is not None]
    if not values:
        told = next((text for text in run.missing if "gpu" in text.lower()), "")
        return Reading(missing=told or "no GPU utilisation was measured", more_helps=False)
    return Reading(estimate=_share(means(values, confidence)))


def _stall(run: Run, name: str, bursts: Sequence[Burst], confidence: float) -> Reading:
    """Return the share of wall time one kind of event costs at its true frequency.

    Bursts that show the frequency themselves (the length of an epoch is known, or the event came twice) are
    averaged; without such a burst all bursts together are a sample of the run.
    """
    line, kind = _STALLS[name]
    books = [ledger.of_burst(burst, run.loader) for burst in bursts]
    entries = [book.entry(line) for book in books if book is not None]
    met = [entry for entry in entries if entry.quality is not ledger.Quality.MISSING]
    if not met:
        steps = sum(len(burst.period_s) for burst in bursts)
        return Reading(missing=f"none met in {steps} batches, so its cost is not known")
    sure = [entry.share for entry in met if entry.quality is ledger.Quality.MEASURED]
    shares = sure or [entry.share if entry in met else 0.0 for entry in entries]
    if len(shares) >= 3:
        return Reading(estimate=_share(means(shares, confidence)))
    durations = [stall.duration_s for burst in bursts for stall in burst.stalls if stall.kind is kind]
    return Reading(estimate=_share(_by_events(fmean(shares), durations, confidence)))


def _by_events(value: float, durations_s: Sequence[float], confidence: float) -> Estimate:
    """Return an interval from the spread of the events; one event alone says its cost within a factor of two."""
    spread = means(durations_s, confidence)
    if len(durations_s) < 3 or not spread.value:
        return Estimate(value, value / 2, value * 2)
    return Estimate(value, value * spread.low / spread.value, value * spread.high / spread.value)


def means(values: Sequence[float], confidence: float) -> Estimate:
    """Return the mean of independent values with its t interval; of one value nothing is known."""
    if not values:
        return Estimate(math.nan, -math.inf, math.inf)
    value = fmean(values)
    if len(values) < 2:
        return Estimate(value, -math.inf, math.inf)
    half = t_quantile(confidence, len(values) - 1) * stdev(values) / math.sqrt(len(values))
    return Estimate(value, value - half, value + half)


def _share(estimate: Estimate) -> Estimate:
    return Estimate(estimate.value, max(0.0, estimate.low), min(1.0, estimate.high))


_READERS: dict[str, Callable[[Run, Sequence[Burst], float], Reading]] = {
    "throughput": throughput,
    "of_ceiling": _of_ceiling,
    "starvation": _starvation,
    "data_wait": _data_wait,
    "gpu_util": _gpu_util,
    "step_time": _step_time,
    "step_p95": _step_p95,
}
assert {*_READERS, *_STALLS} == {*METRICS}
