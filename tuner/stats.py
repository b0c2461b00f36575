"""Statistics of bursts: throughput, its interval, and comparisons. Pure functions of records.

Step times are autocorrelated, so intervals come from batch means: the measured periods are cut into groups of
neighbours (whole rounds of the workers, whose batches arrive in clumps) and the spread is taken between
groups.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean, median, stdev

import msgspec

from gputune.numbers import WIDE
from gputune.probes.batch_means import mean_and_half_width, t_quantile
from gputune.probes.burst import Burst, StallKind

MIN_EFFECT = 0.02
"""A proved gain below this is called nothing to gain: it is not worth a changed configuration."""
HEADROOM_WORTH_TUNING = 0.05
"""Below this share between user throughput and ceiling the campaign stops: the loader is fine."""


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
        return self.spread > WIDE


def mean_interval(values: Sequence[float], confidence: float = 0.90, round_length: int = 1) -> Estimate:
    """Return the mean of an autocorrelated series with its batch-means interval.

    Args:
        values: the series, in order.
        confidence: 0.90, 0.95 or 0.99.
        round_length: groups hold whole multiples of this many values (the number of workers).
    """
    if not values:
        return Estimate(math.nan, math.nan, math.nan)
    value, half = mean_and_half_width(values, confidence, round_length)
    return Estimate(value, max(0.0, value - half), value + half)


def epoch_start_s(burst: Burst) -> float:
    """Return what ending one epoch and starting the next costs under a burst's settings, in seconds.

    The mean of those met; where none was met, what the swap before the burst took until its first batch, which is
    the same work (an estimate). Without workers, or with persistent ones, nothing has to be started.
    """
    met = [stall.duration_s for stall in burst.stalls if stall.kind is StallKind.EPOCH]
    if met:
        return fmean(met)
    starts = burst.settings.num_workers > 0 and not burst.settings.persistent_workers
    return burst.first_batch_s if starts else 0.0


def _epoch_start_per_batch_s(burst: Burst) -> float:
    return epoch_start_s(burst) / burst.batches_per_epoch if burst.batches_per_epoch else 0.0


def throughput(burst: Burst, confidence: float = 0.90) -> Estimate:
    """Return sustained samples per second: the ordinary steps of a burst and its share of an epoch's start.

    Validation and checkpoints cost the same under all settings and are left to the ledger.
    """
    if not burst.period_s or sum(burst.period_s) <= 0:
        return Estimate(0.0, 0.0, 0.0)
    period = mean_interval(burst.period_s, confidence, max(1, burst.settings.num_workers))
    samples, start_s = fmean(burst.samples), _epoch_start_per_batch_s(burst)
    low = 0.0 if math.isinf(period.high) else samples / (period.high + start_s)
    high = math.inf if period.low + start_s <= 0 else samples / (period.low + start_s)
    return Estimate(samples / (period.value + start_s), low, high)


def samples_per_s(burst: Burst) -> float:
    """Return the point estimate of :func:`throughput`."""
    return throughput(burst).value


def data_wait_share(burst: Burst) -> float:
    """Return the share of ordinary step time in which the main thread was blocked in the loader's
    ``next()``."""
    total = sum(burst.period_s)
    return sum(burst.wait_s) / total if total > 0 else 0.0


def data_wait_estimate(burst: Burst, confidence: float = 0.90) -> Estimate:
    """Return :func:`data_wait_share` with its interval: of the ratio of two sums over the same steps.

    A burst too short for an interval says nothing about the share: from 0 to 1.
    """
    share = data_wait_share(burst)
    if not burst.period_s or sum(burst.period_s) <= 0:
        return Estimate(share, 0.0, 1.0)
    residuals = [wait_s - share * period_s for wait_s, period_s in zip(burst.wait_s, burst.period_s, strict=True)]
    _, half_s = mean_and_half_width(residuals, confidence, max(1, burst.settings.num_workers))
    half = half_s / fmean(burst.period_s)
    return Estimate(share, max(0.0, share - half), min(1.0, share + half))


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
