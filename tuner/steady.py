"""What a short burst says about the rate its settings keep up. Pure functions of records.

A burst after a swap starts with an empty queue, so its rate is unbiased but noisy: batches arrive in clumps
of one round of the workers, and a stock from the start may hide for seconds that the workers cannot keep up.
"""

from __future__ import annotations

import math
from itertools import pairwise
from statistics import fmean, stdev

import msgspec

from gputune.probes.batch_means import t_quantile
from gputune.probes.burst import Burst, WorkerBatch
from gputune.stats import Estimate, data_wait_share, throughput

WAITING = 0.05
"""Share of time blocked in ``next()`` above which the workers, not the loop, set the pace."""
DISAGREEMENT = 1.12
"""Workers' capacity further than this from the rate seen is not what limits the loop."""
STOCK_SHRINKS = 0.03
"""Share of the rate that must come out of the stock before the rate is corrected for it."""
FINEST = 0.03
"""Smallest relative half-width claimed for a loop that waits for its workers."""
STOCK_ROUNDS = 2
"""A stock that grew by more rounds of the workers than this is no matter of when the burst began and
ended."""
ONE_ROUND_SPREAD = 0.15
"""Relative half-width granted to a rate from too few rounds for an interval."""


def worker_cycle_s(burst: Burst) -> float | None:
    """Return the mean seconds from one batch to the next of a worker that always has work, or ``None``.

    This is service time plus whatever the worker does between batches (handing the batch over), without the
    time it waited for an index. ``None`` without workers, or when no worker made two batches in the burst.
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

    What the epochs' starts cost is taken off at the end, so that it is in no comparison of rates within an epoch.
    """
    flowing = msgspec.structs.replace(burst, batches_per_epoch=0)
    within = _within_epoch(flowing, confidence)
    plain, all_in = throughput(flowing).value, throughput(burst).value
    factor = all_in / plain if plain > 0 else 1.0
    return Estimate(within.value * factor, within.low * factor, within.high * factor)


def _within_epoch(burst: Burst, confidence: float) -> Estimate:
    """Return the sustained rate between two epoch starts.

    When the loop waits for its workers, batches arrive in clumps of one round and a short burst counts a part
    of one. What the workers finished in the same time has no such edge (half the error in simulation), and
    neither has their capacity. When the loop hardly waits, its own periods are the answer, less what came out
    of a stock left from the start.
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
    # Workers that fill the queue while the loop waits are not what it waits for: slow samples in order, the
    # pin thread.
    grown = (made - seen.value) * (burst.end_s - burst.start_s) / fmean(burst.samples)
    if grown <= STOCK_ROUNDS * burst.settings.num_workers and made * DISAGREEMENT >= capacity.value:
        return _around((made + capacity.value) / 2, max(capacity.spread, abs(made / capacity.value - 1), FINEST))
    relative = seen.spread if math.isfinite(seen.spread) else ONE_ROUND_SPREAD
    near = min(max(made, seen.value / DISAGREEMENT), seen.value * DISAGREEMENT)
    both = _around((seen.value + near) / 2, max(relative, FINEST))
    return _without_stock(burst, both)


def made_samples_per_s(burst: Burst) -> float:
    """Return what the workers finished a second during the burst."""
    ends = [batch.start_s + batch.fetch_s + batch.collate_s for batch in burst.workers]
    count = sum(burst.start_s <= end <= burst.end_s for end in ends)
    duration_s = burst.end_s - burst.start_s
    return count * fmean(burst.samples) / duration_s if duration_s > 0 and burst.samples else 0.0


def stock_loss_per_s(burst: Burst) -> float:
    """Return by how many batches a second the stock of ready batches shrank (0: it did not, or it is
    unknown)."""
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
    """Return :func:`capacity_samples_per_s` from whole worker cycles, with an interval; ``None`` where
    unknown."""
    cycle_s = worker_cycle_s(burst)
    if not cycle_s or not burst.samples or len(burst.workers) < 4:
        return None
    services = [batch.fetch_s + batch.collate_s for batch in burst.workers]
    relative = t_quantile(confidence, len(services) - 1) * stdev(services) / fmean(services) / math.sqrt(len(services))
    value = burst.settings.num_workers / cycle_s * fmean(burst.samples)
    return Estimate(value, value * max(0.0, 1 - relative), value * (1 + relative))


def variation(burst: Burst) -> float:
    """Return the coefficient of variation of the batches' service times (0 when fewer than two were
    stamped)."""
    services = [batch.fetch_s + batch.collate_s for batch in burst.workers]
    return stdev(services) / mean if len(services) > 1 and (mean := fmean(services)) > 0 else 0.0
