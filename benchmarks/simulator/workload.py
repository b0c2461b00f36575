"""One simulated training job: what a batch costs, what the machine has, and what disturbs it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from gputune.probes.settings import Settings

TICK_S = 0.5
"""Resolution of the disturbance traces."""
TRACE_S = 1500.0


@dataclass(frozen=True, kw_only=True)
class Workload:
    """All times are seconds per batch at full speed on an idle machine."""

    name: str
    cpus: int = 16
    background_cpus: float = 0.5
    fetch_cpu_s: float = 0.4
    fetch_cpu_spread: float = 0.15
    tail_share: float = 0.0
    """Share of batches whose CPU time is ``tail_factor`` times larger."""
    tail_factor: float = 1.0
    fetch_io_s: float = 0.0
    fetch_io_spread: float = 0.3
    io_lanes: float = 1e9
    """Reads beyond this many at once share the storage's bandwidth."""
    io_thrash: float = 0.0
    """How much throughput the storage loses when over-committed (0: none)."""
    worker_put_s: float = 0.002
    receive_s: float = 0.0015
    """Main-thread time to take a finished batch out of the queue."""
    pin_s: float = 0.002
    copy_pageable_s: float = 0.006
    copy_pinned_s: float = 0.002
    gpu_s: float = 0.1
    gpu_spread: float = 0.015
    launch_s: float = 0.02
    synchronous: bool = False
    """The loop waits for the GPU at each step (``loss.item()``)."""
    oversubscription: float = 0.3
    """Extra loss per unit of CPU demand beyond the cores (context switches, cache)."""
    memory_slope: float = 0.10
    """Slowdown of CPU work when all cores are busy (memory bandwidth)."""
    gpu_slope: float = 0.0
    """Slowdown of the GPU step when all cores are busy."""
    lazy_open_s: float = 0.0
    """CPU time each new worker spends before its first batch."""
    log_every: int = 50
    log_s: float = 0.003
    batch_bytes: int = 40 << 20
    worker_bytes: int = 600 << 20
    memory_bytes: int = 64 << 30
    shm_bytes: int = 32 << 30
    epoch_batches: int = 5000
    start_worker_s: float = 0.012
    drift: float = 0.02
    """Standard deviation of the slow drift of the CPU speed."""
    episode_every_s: float = 120.0
    episode_depth: float = 0.15
    episode_length_s: float = 8.0
    episodes_visible: bool = True
    """Whether episodes are other processes whose CPU use can be read."""
    cold_cache: float = 1.0
    """How many times slower storage is at the start."""
    cache_warm_s: float = 60.0
    accelerator: bool = True
    user: Settings = field(default_factory=lambda: Settings(num_workers=4, prefetch_factor=2))
    batch_size: int = 32
    unmodelled: bool = False
    """Whether it holds a mechanism the model has no term for."""

    def but(self, **changes: Any) -> Workload:
        """Return a copy with some fields changed."""
        return replace(self, **changes)

    def overflows(self, settings: Settings) -> bool:
        """Whether ``settings`` crash this machine."""
        in_flight = settings.num_workers * ((settings.prefetch_factor or 0) + 1) * self.batch_bytes
        return in_flight > self.shm_bytes or settings.num_workers * self.worker_bytes + in_flight > self.memory_bytes


@dataclass(frozen=True)
class Disturbance:
    """Speed factors over time, one value a :data:`TICK_S`."""

    cpu: list[float]
    gpu: list[float]
    io: list[float]
    other_cores: list[float]
    """Cores other processes were seen to take."""

    @staticmethod
    def none() -> Disturbance:
        """Return the undisturbed machine that truth is taken on."""
        return Disturbance([1.0], [1.0], [1.0], [0.0])

    @staticmethod
    def draw(workload: Workload, seed: int) -> Disturbance:
        """Return one random history of the machine."""
        random = np.random.default_rng([seed, sum(map(ord, workload.name))])
        count = int(TRACE_S / TICK_S)
        cpu = np.exp(_drift(random, count, workload.drift, 15.0))
        gpu = np.exp(_drift(random, count, 0.005, 20.0))
        io = np.exp(_drift(random, count, 0.05, 10.0))
        warm = 1 + (workload.cold_cache - 1) * np.exp(-np.arange(count) * TICK_S / workload.cache_warm_s)
        other = np.zeros(count)
        start_s = random.exponential(workload.episode_every_s)
        while start_s < TRACE_S:
            length_s = random.exponential(workload.episode_length_s)
            depth = workload.episode_depth * random.uniform(0.5, 1.3)
            where = slice(int(start_s / TICK_S), int((start_s + length_s) / TICK_S) + 1)
            cpu[where] *= 1 - depth
            other[where] += depth * workload.cpus if workload.episodes_visible else 0.0
            start_s += length_s + random.exponential(workload.episode_every_s)
        floor = np.maximum
        return Disturbance(floor(cpu, 0.15).tolist(), gpu.tolist(), floor(io / warm, 0.02).tolist(), other.tolist())


def _drift(random: np.random.Generator, count: int, deviation: float, memory_s: float) -> np.ndarray:
    """Return a stationary AR(1) series."""
    keep = float(np.exp(-TICK_S / memory_s))
    steps = random.normal(size=count) * np.sqrt(1 - keep * keep)
    steps[0] = random.normal()
    values, value = [], 0.0
    for step in steps.tolist():
        value = keep * value + step if values else step
        values.append(value)
    return deviation * np.array(values)
