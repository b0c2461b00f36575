"""Statistics of bursts: throughput, its interval, and comparisons. Pure functions of records.

Step times are autocorrelated, so intervals come from batch means: the measured periods are cut into groups of
neighbours (whole rounds of the workers, whose batches arrive in clumps) and the spread is taken between groups.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from statistics import fmean, median, stdev

import msgspec

from gputune.probes.burst import Burst, WorkerBatch

MIN_EFFECT = 0.02
"""A proved gain below this is called nothing to gain: it is not worth a changed configuration."""
HEADROOM_WORTH_TUNING = 0.05
"""Below this share between user throughput and ceiling the campaign stops: the loader is fine."""
GROUPS = 8
"""Groups of neighbouring steps for batch means; more leave groups too short to be independent."""
WAITING = 0.05
"""Share of time blocked in ``next()`` above which the workers, not the loop, set the pace."""
DISAGREEMENT = 1.12
"""Workers' capacity further than this from the rate seen is not what limits the loop."""
STOCK_SHRINKS = 0.03
"""Share of the rate that must come out of the stock before the rate is corrected for it."""
FINEST = 0.03
"""Smallest relative half-width claimed for a loop that waits for its workers."""
ONE_ROUND_SPREAD = 0.15
"""Relative half-width granted to a rate from too few rounds for an interval."""

# Two-sided Student t quantiles by degrees of freedom, for 90 % and 95 % intervals.
_T = {
    0.90: (6.314, 2.920, 2.353, 2.132, 2.015, 1.943, 1.895, 1.860, 1.833, 1.812),
    0.95: (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228),
}
_NORMAL = {0.90: 1.645, 0.95: 1.960}


class Estimate(msgspec.Struct, frozen=True):
    """A number that knows how far it can be trusted."""

    value: float
    low: float
    high: float

    @property
    def spread(self) -> float:
        """Relative half-width of the interval."""
        return (self.high - self.low) / 2 / self.value if self.value else math.inf

    @property
    def wide(self) -> bool:
        """Whether the number deserves a warning mark."""
        return self.spread > 0.10


def t_quantile(confidence: float, degrees: int) -> float:
    """Return the two-sided Student t quantile for 0.90 or 0.95."""
    table = _T[confidence]
    if degrees < 1:
        return math.inf
    if degrees <= len(table):
        return table[degrees - 1]
    # Between 10 degrees and the normal limit the quantile falls as 1/degrees.
    return _NORMAL[confidence] + (table[-1] - _NORMAL[confidence]) * len(table) / degrees


def mean_interval(values: Sequence[float], confidence: float = 0.90, round_length: int = 1) -> Estimate:
    """Return the mean of an autocorrelated series with its batch-means interval.

    Args:
        values: the series, in order.
        confidence: 0.90 or 0.95.
        round_length: groups hold whole multiples of this many values (the number of workers).
    """
    if not values:
        return Estimate(math.nan, math.nan, math.nan)
    size = max(round_length, round_length * math.ceil(len(values) / (GROUPS * round_length)))
    groups = [fmean(values[i : i + size]) for i in range(0, len(values) - size + 1, size)]
    value = fmean(values)
    if len(groups) < 2:
        return Estimate(value, 0.0, math.inf)
    half = t_quantile(confidence, len(groups) - 1) * stdev(groups) / math.sqrt(len(groups))
    return Estimate(value, max(0.0, value - half), value + half)


def throughput(burst: Burst, confidence: float = 0.90) -> Estimate:
    """Return sustained samples per second of the ordinary steps of a burst (stalls are not in its arrays)."""
    if not burst.period_s or sum(burst.period_s) <= 0:
        return Estimate(0.0, 0.0, 0.0)
    period = mean_interval(burst.period_s, confidence, max(1, burst.settings.num_workers))
    samples = fmean(burst.samples)
    low = 0.0 if math.isinf(period.high) else samples / period.high
    high = math.inf if period.low <= 0 else samples / period.low
    return Estimate(samples / period.value, low, high)


def samples_per_s(burst: Burst) -> float:
    """Return the point estimate of :func:`throughput`."""
    return throughput(burst).value


def data_wait_share(burst: Burst) -> float:
    """Return the share of ordinary step time in which the main thread was blocked in the loader's ``next()``."""
    total = sum(burst.period_s)
    return sum(burst.wait_s) / total if total > 0 else 0.0


def service_s(burst: Burst) -> float | None:
    """Return the mean seconds a worker needs for one batch, or ``None`` when no batch was stamped."""
    if not burst.workers:
        return None
    return fmean(batch.fetch_s + batch.collate_s for batch in burst.workers)


def cpu_share(burst: Burst) -> float | None:
    """Return the share of service time that is CPU time: near 1 is compute, near 0 is waiting for storage."""
    wall = sum(batch.fetch_s + batch.collate_s for batch in burst.workers)
    return min(1.0, sum(batch.cpu_s for batch in burst.workers) / wall) if wall > 0 else None


def capacity_samples_per_s(burst: Burst) -> float | None:
    """Return what the workers could deliver if the loop never held them up: workers / mean service time."""
    service = service_s(burst)
    if not service or not burst.samples:
        return None
    return max(1, burst.settings.num_workers) / service * fmean(burst.samples)


def busy_s(burst: Burst) -> float:
    """Return the median seconds of a step outside the loader."""
    return median(p - w for p, w in zip(burst.period_s, burst.wait_s, strict=True)) if burst.period_s else math.nan


def ratio_interval(ratios: Sequence[float], confidence: float = 0.95) -> Estimate:
    """Return the geometric mean of paired ratios with a t interval on their logarithms."""
    logs = [math.log(ratio) for ratio in ratios if ratio > 0]
    if not logs:
        return Estimate(math.nan, math.nan, math.nan)
    value = fmean(logs)
    if len(logs) < 2:
        return Estimate(math.exp(value), 0.0, math.inf)
    half = t_quantile(confidence, len(logs) - 1) * stdev(logs) / math.sqrt(len(logs))
    return Estimate(math.exp(value), math.exp(value - half), math.exp(value + half))


def worker_cycle_s(burst: Burst) -> float | None:
    """Return the mean seconds from one batch to the next of a worker that always has work, or ``None``.

    This is service time plus whatever the worker does between batches (handing the batch over), without the time it
    waited for an index. ``None`` without workers, or when no worker made two batches in the burst.
    """
    if burst.settings.num_workers == 0:
        return None
    by_worker: dict[int, list[WorkerBatch]] = {}
    for batch in burst.workers:
        by_worker.setdefault(batch.worker, []).append(batch)
    total_s, count = 0.0, 0
    for batches in by_worker.values():
        batches.sort(key=lambda batch: batch.start_s)
        for before, after in pairwise(batches):
            total_s += max(before.fetch_s + before.collate_s, after.start_s - before.start_s - after.idle_s)
            count += 1
    return total_s / count if count else None


def sustained(burst: Burst, confidence: float = 0.90) -> Estimate:
    """Return the rate the settings keep up: :func:`throughput`, sharpened by what the workers made.

    When the loop waits for its workers, batches arrive in clumps of one round and a short burst counts a part of
    one. What the workers finished in the same time has no such edge (half the error in simulation), and neither has
    their capacity. When the loop hardly waits, its own periods are the answer, less what came out of a stock left
    from the start.
    """
    seen = throughput(burst, confidence)
    capacity = capacity_estimate(burst, confidence)
    if capacity is None or seen.value <= 0:
        return seen
    if data_wait_share(burst) < WAITING:
        if seen.value > capacity.high:
            return _around(capacity.value, 2 * capacity.spread)
        return _without_stock(burst, seen)
    made = made_samples_per_s(burst)
    if made * DISAGREEMENT >= capacity.value:
        return _around((made + capacity.value) / 2, max(capacity.spread, abs(made / capacity.value - 1), FINEST))
    # Something besides the workers holds the loop up: slow samples in order, the pin thread.
    relative = seen.spread if math.isfinite(seen.spread) else ONE_ROUND_SPREAD
    both = _around((seen.value + min(made, seen.value * DISAGREEMENT)) / 2, max(relative, FINEST))
    return _without_stock(burst, both)


def made_samples_per_s(burst: Burst) -> float:
    """Return what the workers finished a second during the burst."""
    ends = [batch.start_s + batch.fetch_s + batch.collate_s for batch in burst.workers]
    count = sum(burst.start_s <= end <= burst.end_s for end in ends)
    duration_s = burst.end_s - burst.start_s
    return count * fmean(burst.samples) / duration_s if duration_s > 0 and burst.samples else 0.0


def stock_loss_per_s(burst: Burst) -> float:
    """Return by how many batches a second the stock of ready batches shrank (0: it did not, or it is unknown)."""
    quarter = len(burst.ready) // 4
    if quarter == 0 or min(burst.ready) < 0:
        return 0.0
    lost = fmean(burst.ready[:quarter]) - fmean(burst.ready[-quarter:])
    # Stocks breathe by a part of a round; a smaller change is no trend.
    if lost < max(1.5, burst.settings.num_workers / 4):
        return 0.0
    return lost / (0.75 * sum(burst.period_s))


def _without_stock(burst: Burst, seen: Estimate) -> Estimate:
    """Return a rate less what came out of a shrinking stock of ready batches."""
    lost = min(0.5, stock_loss_per_s(burst) * fmean(burst.samples) / seen.value)
    return _around(seen.value * (1 - lost), max(seen.spread, 0.5 * lost)) if lost > STOCK_SHRINKS else seen


def _around(value: float, relative: float) -> Estimate:
    return Estimate(value, value * max(0.0, 1 - relative), value * (1 + relative))


def capacity_estimate(burst: Burst, confidence: float = 0.90) -> Estimate | None:
    """Return :func:`capacity_samples_per_s` from whole worker cycles, with an interval; ``None`` where unknown."""
    cycle_s = worker_cycle_s(burst)
    if not cycle_s or not burst.samples or len(burst.workers) < 4:
        return None
    services = [batch.fetch_s + batch.collate_s for batch in burst.workers]
    relative = t_quantile(confidence, len(services) - 1) * stdev(services) / fmean(services) / math.sqrt(len(services))
    value = burst.settings.num_workers / cycle_s * fmean(burst.samples)
    return Estimate(value, value * max(0.0, 1 - relative), value * (1 + relative))


def variation(burst: Burst) -> float:
    """Return the coefficient of variation of the batches' service times (0 when fewer than two were stamped)."""
    services = [batch.fetch_s + batch.collate_s for batch in burst.workers]
    return stdev(services) / mean if len(services) > 1 and (mean := fmean(services)) > 0 else 0.0
