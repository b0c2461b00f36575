"""The numbers a verdict rests on. Pure functions of a stored run."""

from __future__ import annotations

import math
from statistics import fmean, median

from gputune import ranks, stats
from gputune.probes.burst import Burst, Stall, StallKind
from gputune.probes.settings import Settings
from gputune.record import Run
from gputune.timeline import measured

MIN_READ_BYTES = 4096
"""A sample that reads less than a page from files says nothing about storage."""


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


def p95_over_p50(burst: Burst) -> float | None:
    """Return the 95th percentile of service time over its median (``None`` without stamped batches)."""
    times = sorted(batch.fetch_s + batch.collate_s for batch in burst.workers)
    if not times or median(times) <= 0:
        return None
    return times[min(len(times) - 1, int(0.95 * len(times)))] / median(times)


def out_of_order_s(burst: Burst) -> float | None:
    """Return how long a finished batch lay waiting for one that was begun before it, on average.

    Batches are handed out in the order in which they were begun; ``None`` for a single worker, which cannot
    overtake itself, and where the user takes batches in any order.
    """
    if burst.settings.num_workers < 2 or not burst.settings.in_order or not burst.workers:
        return None
    latest_s, delays = -math.inf, []
    for batch in sorted(burst.workers, key=lambda batch: batch.start_s):
        end_s = batch.start_s + batch.fetch_s + batch.collate_s
        latest_s = max(latest_s, end_s)
        delays.append(latest_s - end_s)
    return fmean(delays)


def best_trial(run: Run) -> tuple[Settings, float] | None:
    """Return the fastest trial's settings and its gain over the baseline, when it beat it by what matters."""
    rates = [(stats.samples_per_s(t.burst), t.settings) for t in run.trials if t.burst and not t.burst.abandoned]
    if not rates or run.baseline is None:
        return None
    rate, settings = max(rates, key=lambda pair: pair[0])
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


def cache_misses(burst: Burst) -> float | None:
    """Return which part of the bytes asked for came off storage, 0 to 1 (``None``: not known, or hardly any read).

    Files mapped into memory are read without asking; what storage brings for them counts as missed.
    """
    stored, asked = burst.host.read_bytes, burst.host.asked_bytes
    if stored is None or asked is None or max(stored, asked) < MIN_READ_BYTES * max(1, sum(burst.samples)):
        return None
    return min(1.0, stored / max(asked, stored))


def data_set_bytes(burst: Burst, length: int | None) -> float | None:
    """Return how much a data set of ``length`` samples holds on disk, going by what a burst read of it."""
    stored, asked = burst.host.read_bytes, burst.host.asked_bytes
    consumed = _consumed(burst)
    if not length or stored is None or asked is None or not consumed:
        return None
    return max(stored, asked) / consumed * length


def bursts(run: Run) -> list[Burst]:
    """Return every burst of a run that measured something."""
    pairs = [burst for pair in (run.proof.pairs if run.proof else []) for burst in (pair.user, pair.candidate)]
    trials = [trial.burst for trial in run.trials]
    return [burst for burst in (run.baseline, run.ceiling, run.diagnosis, *trials, *pairs) if measured(burst)]


def stalls(run: Run, kind: StallKind) -> list[Stall]:
    """Return the events of a kind in all bursts of a run."""
    return [stall for burst in bursts(run) for stall in burst.stalls if stall.kind is kind]


def growth_per_1000_bytes(burst: Burst) -> float | None:
    """Return by how much the processes' memory grows for each 1,000 samples (``None``: not known)."""
    grown, consumed = burst.host.memory_growth_bytes, _consumed(burst)
    return None if grown is None or not consumed else 1000 * grown / consumed


def _consumed(burst: Burst) -> float:
    """Return the samples the loop took in a burst's wall time, which holds more than its measured batches."""
    measured_s = sum(burst.period_s)
    return sum(burst.samples) * (burst.end_s - burst.start_s) / measured_s if measured_s > 0 else 0.0
