"""What one burst teaches the model, in seconds per batch. Pure."""

from __future__ import annotations

import math
from statistics import fmean

import msgspec

from gputune import stats, steady
from gputune.probes.burst import Burst

CPU_BOUND = 0.7
"""Share of a service time spent computing or queueing for a core above which a loader is CPU-bound."""
MACHINE_NOISE = 0.012
"""Even a long burst says no more than this about the next minute: machines drift."""
DISTURBED_NOISE = 0.05
"""The same while other processes took part of the machine."""


class Seen(msgspec.Struct, frozen=True):
    """What one burst taught, in seconds per batch."""

    burst: Burst
    rate: float
    """Batches per second its settings are believed to keep up."""
    delivered: float
    """Batches per second handed out during the burst, whatever stock they came from."""
    spread: float
    """Standard error of the rate (relative)."""
    drift: float
    """Part of it that no sample, however long, would remove."""
    at_work: float
    """Workers busy on average."""
    running: float
    """Of these, how many wanted a core."""
    computing_s: float
    waiting_s: float
    """Both with the usual luck of this burst: as many slow batches as it happened to have."""
    busy_s: float
    others: float

    @property
    def cycle_s(self) -> float:
        """Seconds of a worker from one batch to the next."""
        return self.computing_s + self.waiting_s


def read(burst: Burst, samples_per_batch: float, cores: float, *, disturbed: bool = False) -> Seen:
    """Return what ``burst`` teaches; it must hold at least two stamped batches and two periods."""
    estimate = steady.sustained(burst)
    rate = estimate.value / samples_per_batch
    wall_s = stats.service_s(burst) or 0.0
    cpu_s = min(wall_s, fmean(batch.cpu_s for batch in burst.workers))
    cycle_s = max(wall_s, steady.worker_cycle_s(burst) or 0.0)
    workers = burst.settings.num_workers
    at_work = min(workers, rate * cycle_s) if workers else 1.0
    others = _other_cores(burst, at_work * cpu_s / wall_s if wall_s else 0.0, cores)
    # Handing a batch over is work of the worker too.
    computing_s = computing_wall_s(wall_s, cpu_s, at_work, others, cores) + cycle_s - wall_s
    drift = DISTURBED_NOISE if disturbed else MACHINE_NOISE
    spread = estimate.spread / 1.645 if math.isfinite(estimate.spread) else 0.3
    busy = [p - w for p, w in zip(burst.period_s, burst.wait_s, strict=True)]
    return Seen(
        burst=burst,
        rate=rate,
        delivered=stats.samples_per_s(burst) / samples_per_batch,
        spread=math.hypot(min(0.3, spread), drift),
        drift=drift,
        at_work=at_work,
        running=at_work * computing_s / cycle_s if cycle_s else 0.0,
        computing_s=computing_s,
        waiting_s=max(0.0, cycle_s - computing_s),
        busy_s=fmean(busy),
        others=others,
    )


def cpu_bound(burst: Burst, effective_cpus: float) -> bool:
    """Whether making a batch is mostly CPU work, queueing for a core included (CPU time alone hides that)."""
    if len(burst.workers) < 2 or len(burst.period_s) < 2:
        return False
    seen = read(burst, fmean(burst.samples), effective_cpus)
    return seen.computing_s > CPU_BOUND * (seen.computing_s + seen.waiting_s)


def computing_wall_s(wall_s: float, cpu_s: float, at_work: float, others: float, cores: float) -> float:
    """Return the part of a service time spent computing or queueing for a core; the rest waited for something
    else.

    CPU time alone cannot tell queueing from storage. With ``x`` workers at work that want a core for a share
    ``y / wall`` of their time, fair sharing stretches ``cpu`` to ``y = cpu * (x * y / wall + others) /
    cores`` once demand exceeds the cores; solved for ``y``.
    """
    if wall_s <= 0:
        return 0.0
    rest = 1 - cpu_s * at_work / (wall_s * cores)
    return wall_s if rest <= 0 else min(wall_s, max(cpu_s, cpu_s * others / cores / rest))


def _other_cores(burst: Burst, worker_cores: float, cores: float) -> float:
    """Return cores wanted by everything but the workers: the main thread and other processes."""
    main = 1.0
    if burst.host.cpu_cores is not None and burst.settings.num_workers:
        main = min(cores, max(0.05, burst.host.cpu_cores - worker_cores))
    return main + (burst.host.other_cpu_cores or 0.0)
