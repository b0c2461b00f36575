"""The numbers a verdict rests on. Pure functions of a stored run."""

from __future__ import annotations

import math
from statistics import fmean

from gputune import ranks, stats
from gputune.probes.burst import Burst
from gputune.probes.settings import Settings
from gputune.record import Run


def is_healthy(now: float, ceiling: float) -> bool:
    """Whether free data would gain too little to matter (:data:`gputune.stats.HEADROOM_WORTH_TUNING`)."""
    return ceiling <= now * (1 + stats.HEADROOM_WORTH_TUNING)


def needs(base: Burst, ceiling: float | None) -> tuple[int | None, float | None]:
    """Return workers (of each rank) and cores (of the machine) that loading at the ceiling's speed takes.

    By Little's law on service times; every rank loads as much as the others.
    """
    service_s = stats.service_s(base)
    if service_s is None or not ceiling or not base.samples:
        return None, None
    batches_per_s = ceiling / fmean(base.samples)
    cpu_s = fmean(batch.cpu_s for batch in base.workers)
    return max(1, math.ceil(service_s * batches_per_s - 1e-9)), cpu_s * batches_per_s * ranks.count(base)


def tail_factor(burst: Burst) -> float:
    """Return the 95th percentile of service time over its mean (0 without stamped batches)."""
    times = sorted(batch.fetch_s + batch.collate_s for batch in burst.workers)
    return times[min(len(times) - 1, int(0.95 * len(times)))] / fmean(times) if times and fmean(times) else 0.0


def best_trial(run: Run) -> tuple[Settings, float] | None:
    """Return the fastest trial's settings and its gain over the baseline, when it beat it by what matters."""
    measured = [(stats.samples_per_s(t.burst), t.settings) for t in run.trials if t.burst and not t.burst.abandoned]
    if not measured or run.baseline is None:
        return None
    rate, settings = max(measured, key=lambda pair: pair[0])
    factor = rate / stats.samples_per_s(run.baseline)
    return (settings, factor) if factor > 1 + stats.MIN_EFFECT else None


def count_bursts(run: Run) -> int:
    """Return how many bursts a run holds."""
    proof = 2 * len(run.proof.pairs) if run.proof else 0
    trials = sum(trial.burst is not None for trial in run.trials)
    return (run.baseline is not None) + (run.ceiling is not None) + trials + proof


def library_threads(burst: Burst) -> float | None:
    """Return the CPU time of whole workers over that of their fetching threads (``None``: not stamped).

    Above 1 means that libraries compute in threads of their own. On the main thread it says nothing: the model's
    threads are in the same process.
    """
    fetching_s = sum(batch.cpu_s for batch in burst.workers)
    whole_s = sum(batch.process_cpu_s for batch in burst.workers)
    return whole_s / fetching_s if burst.settings.num_workers and whole_s and fetching_s > 0 else None


def collate_share(burst: Burst) -> float | None:
    """Return collation's part of service time."""
    total_s = sum(batch.fetch_s + batch.collate_s for batch in burst.workers)
    return sum(batch.collate_s for batch in burst.workers) / total_s if total_s > 0 else None
