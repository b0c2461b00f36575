"""Why the loop waits for data: one cause out of those a loader can have. Pure functions of a stored run."""

from __future__ import annotations

import math
from statistics import fmean

from gputune import cause_words, evidence, hotspots, pipeline_cause, ranks, stats, steady
from gputune.cause import Cause, Finding
from gputune.probes.burst import Burst
from gputune.record import Run
from gputune.timeline import measured

CPU_BOUND_SHARE = 0.5
"""Above this share of CPU time in service time the workers compete for cores, below they mostly wait."""
TAIL_FACTOR = 2.5
"""95th percentile of service time over its mean from which in-order delivery starves a fast enough queue."""
ENOUGH_CAPACITY = 1.1
"""Workers that could make this multiple of the ceiling are not too few."""
FAIR_SHARE = 0.6
"""On a machine whose cores are all busy, workers that get this part of an even share of them are not waiting."""
LIBRARY_THREADS = 1.5
"""CPU time of a whole worker over that of its fetching thread from which library threads are at work."""
COLLATES = 0.5
"""Part of service time from which collation, and not the samples, is what makes batches slow."""
SATURATED = 0.85
"""Part of the effective cores in use from which they count as all busy."""
MISSED = 0.3
"""Part of the bytes read that must come off storage before the page cache is called cold."""
FITS = 0.8
"""Part of the available memory that a data set may take to stay in the page cache."""
FLAT = 0.4
"""Capacity that grows with less than this power of the number of workers is limited by what they share."""


_COMPUTING = frozenset({Cause.CPU, Cause.CORES, Cause.OVERSUBSCRIPTION})


def finding(run: Run, base: Burst, ceiling: float | None, wait_share: float) -> Finding:
    """Return why the loop of ``run`` waits.

    Args:
        run: the campaign.
        base: its baseline.
        ceiling: samples per second with free data, if known.
        wait_share: part of wall time spent waiting.
    """
    now = stats.samples_per_s(base)
    cause, sentence = _cause(run, base, ceiling or now)
    if cause is Cause.QUEUE and ceiling:
        # Handing over also takes the training thread's time outside of next(): locks, unpickling, switching.
        wait_share = max(wait_share, 1 - now / ceiling)
    place = _place(run)
    if place and cause is not Cause.QUEUE:
        sentence = f"{sentence} {cause_words.costliest(place.shown, place.share)}"
    return Finding(
        cause=cause,
        share=wait_share,
        sentence=sentence,
        advice=pipeline_cause.advice(cause)
        if base.settings.pipeline
        else cause_words.loading_advice(cause.value, base.settings),
        gain=ceiling / now if ceiling and now else None,
        evidence=_numbers(base),
        place=place.shown if place else "",
    )


def _advice(cause: Cause, base: Burst) -> str:
    if base.settings.pipeline is not None:
        return pipeline_cause.advice(cause)
    return cause_words.loading_advice(cause.value, base.settings)


def _place(run: Run) -> hotspots.Place | None:
    places = hotspots.loading(run.diagnosis)
    return places[0] if places else None


def _numbers(base: Burst) -> dict[str, float]:
    found = {
        "service_s": stats.service_s(base),
        "cpu_share": stats.cpu_share(base),
        "capacity_samples_per_s": stats.capacity_samples_per_s(base),
        "tail_factor": evidence.tail_factor(base),
        "library_threads": evidence.library_threads(base),
        "collate_share": evidence.collate_share(base),
        "cache_misses": evidence.cache_misses(base),
        "variation": steady.variation(base),
        "p95_over_p50": evidence.p95_over_p50(base),
        "out_of_order_s": evidence.out_of_order_s(base),
        "sample_bytes": base.batch_bytes / fmean(base.samples) if base.batch_bytes else None,
    }
    return {name: value for name, value in found.items() if value is not None}


def _cause(run: Run, base: Burst, ceiling: float) -> tuple[Cause, str]:
    workers, service_s, share = base.settings.num_workers, stats.service_s(base), stats.cpu_share(base)
    if base.settings.pipeline is not None:
        return pipeline_cause.cause(run, base, ceiling)
    if workers == 0:
        loaded_s = sum(base.wait_s) if service_s is None else service_s * len(base.wait_s)
        per_sample_s = loaded_s * ranks.count(base) / sum(base.samples)
        return Cause.MAIN_THREAD, cause_words.main_thread(run.loader, per_sample_s, share)
    capacity = stats.capacity_samples_per_s(base)
    if service_s is None or capacity is None:
        return Cause.QUEUE, cause_words.unexplained_wait(workers, None)
    factor = evidence.tail_factor(base)
    if factor >= TAIL_FACTOR and capacity >= ceiling:
        return Cause.SLOW_SAMPLES, cause_words.slow_samples(factor, service_s)
    if capacity >= ceiling * ENOUGH_CAPACITY:
        return Cause.QUEUE, cause_words.unexplained_wait(workers, capacity)
    collating = evidence.collate_share(base) or 0.0
    if collating >= COLLATES:
        return Cause.COLLATE, cause_words.slow_collate(workers, service_s, collating, capacity, ceiling)
    cause = _too_slow(run, base, ceiling)
    waiting_for = "a free core" if cause in _COMPUTING else "storage or the network"
    of_which = cause_words.cpu_or_waiting(share, waiting_for)
    sentence = cause_words.too_few_workers(workers, service_s, of_which, capacity, ceiling)
    return cause, f"{sentence} {_cold(run, base)}" if cause is Cause.COLD_CACHE else sentence


def _cold(run: Run, base: Burst) -> str:
    misses, memory = evidence.cache_misses(base), run.machine.memory_available_bytes
    size = evidence.data_set_bytes(base, run.loader.dataset_length if run.loader else None)
    assert misses is not None
    assert size is not None
    assert memory is not None
    return cause_words.cold_cache(misses, size, memory)


def _too_slow(run: Run, base: Burst, ceiling: float) -> Cause:
    """Tell apart why workers are too slow together."""
    threads, share = evidence.library_threads(base), stats.cpu_share(base)
    busy = _cores_busy(run, base)
    if threads is not None and threads >= LIBRARY_THREADS and busy:
        return Cause.OVERSUBSCRIPTION
    waits = share is not None and share < CPU_BOUND_SHARE
    if waits and _is_cold(run, base):
        return Cause.COLD_CACHE
    if waits and not (busy and share is not None and share >= _even_share(run, base)):
        return Cause.BANDWIDTH if _is_flat(run, base) else Cause.STORAGE
    cores_needed, cpus = evidence.needs(base, ceiling)[1], run.machine.effective_cpus
    return Cause.CORES if cores_needed and cpus and cores_needed > cpus else Cause.CPU


def _cores_busy(run: Run, base: Burst) -> bool:
    cpus, own, other = run.machine.effective_cpus, base.host.cpu_cores, base.host.other_cpu_cores
    return cpus is not None and own is not None and own + (other or 0.0) >= SATURATED * cpus


def _even_share(run: Run, base: Burst) -> float:
    """Return the part of a core each worker can expect beside the training thread and other programs."""
    left = (run.machine.effective_cpus or 1.0) - (base.host.other_cpu_cores or 0.0)
    return FAIR_SHARE * min(1.0, max(0.2, left) / ranks.count(base) / (base.settings.num_workers + 1))


def _is_cold(run: Run, base: Burst) -> bool:
    """Whether samples come off storage that memory could hold, so that later passes will find them there."""
    misses, memory = evidence.cache_misses(base), run.machine.memory_available_bytes
    size = evidence.data_set_bytes(base, run.loader.dataset_length if run.loader else None)
    return misses is not None and misses >= MISSED and bool(size and memory and size < FITS * memory)


def _is_flat(run: Run, base: Burst) -> bool:
    """Whether more workers made no more samples: what they wait for is shared."""
    points = [(base.settings.num_workers, stats.capacity_samples_per_s(base))]
    points += [
        (trial.settings.num_workers, stats.capacity_samples_per_s(trial.burst))
        for trial in run.trials
        if measured(trial.burst)
    ]
    logs = [(math.log(workers), math.log(capacity)) for workers, capacity in points if workers and capacity]
    if len({x for x, _ in logs}) < 2:
        return False
    x0, y0 = fmean(x for x, _ in logs), fmean(y for _, y in logs)
    slope = sum((x - x0) * (y - y0) for x, y in logs) / sum((x - x0) ** 2 for x, _ in logs)
    return slope < FLAT
