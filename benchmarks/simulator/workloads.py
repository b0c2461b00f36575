"""The designed workloads, and the generator of random ones."""

from __future__ import annotations

import numpy as np

from gputune.probes.settings import Settings

from .workload import Workload

MIB, GIB = 1 << 20, 1 << 30
RANDOM_SEED = 20261124
"""Fixed before the first run of the benchmark; nothing was ever tuned on what it draws."""


def _user(workers: int, prefetch: int = 2) -> Settings:
    return Settings.make(num_workers=workers, prefetch_factor=prefetch)


MODELLED = (
    Workload(name="gpu-bound", gpu_s=0.20, fetch_cpu_s=0.10),
    Workload(name="decode, 8 cores", cpus=8, memory_slope=0.15),
    Workload(name="decode, too few cores", fetch_cpu_s=2.4, memory_slope=0.15),
    Workload(
        name="decode, 64 cores",
        cpus=64,
        fetch_cpu_s=2.4,
        memory_slope=0.35,
        batch_bytes=80 * MIB,
        memory_bytes=256 * GIB,
        shm_bytes=128 * GIB,
        user=_user(8),
    ),
    Workload(
        name="decode, 2 cores",
        cpus=2,
        background_cpus=0.1,
        fetch_cpu_s=0.06,
        gpu_s=0.05,
        launch_s=0.01,
        user=_user(0),
    ),
    Workload(name="decode on the main thread", cpus=8, fetch_cpu_s=0.25, gpu_s=0.08, user=_user(0)),
    Workload(name="storage latency", fetch_cpu_s=0.05, fetch_io_s=1.1, fetch_io_spread=0.4),
    Workload(name="storage latency, 4 cores", cpus=4, fetch_cpu_s=0.01, fetch_io_s=0.3, gpu_s=0.04, user=_user(2)),
    Workload(
        name="storage bandwidth",
        fetch_cpu_s=0.10,
        fetch_io_s=0.5,
        fetch_io_spread=0.4,
        io_lanes=5,
        gpu_s=0.075,
    ),
    Workload(
        name="tiny samples",
        fetch_cpu_s=0.0004,
        receive_s=0.002,
        worker_put_s=0.0015,
        pin_s=0.0003,
        copy_pageable_s=0.0001,
        copy_pinned_s=0.00005,
        gpu_s=0.003,
        launch_s=0.0026,
        batch_bytes=50_000,
        log_every=100,
        log_s=0.001,
    ),
    Workload(name="heavy tail", fetch_cpu_s=0.35, tail_share=0.04, tail_factor=18.0, gpu_s=0.12),
    Workload(
        name="memory-limited",
        fetch_cpu_s=0.8,
        gpu_s=0.15,
        batch_bytes=700 * MIB,
        worker_bytes=1200 * MIB,
        memory_bytes=26 * GIB,
        shm_bytes=16 * GIB,
        user=_user(2),
    ),
    Workload(
        name="small /dev/shm",
        cpus=8,
        fetch_cpu_s=0.3,
        gpu_s=0.08,
        batch_bytes=120 * MIB,
        shm_bytes=2 * GIB,
        user=_user(1),
    ),
    Workload(name="log-bound", fetch_cpu_s=0.12, gpu_s=0.06, log_every=5, log_s=0.08),
    Workload(
        name="launch-bound loop",
        cpus=8,
        background_cpus=1.0,
        fetch_cpu_s=0.12,
        gpu_s=0.030,
        launch_s=0.027,
        oversubscription=1.5,
        memory_slope=0.2,
        log_every=100,
        user=_user(8),
    ),
    Workload(
        name="copy-bound",
        fetch_cpu_s=0.25,
        gpu_s=0.08,
        copy_pageable_s=0.055,
        copy_pinned_s=0.02,
        pin_s=0.015,
        batch_bytes=250 * MIB,
        log_every=100,
    ),
    Workload(name="already optimal", fetch_cpu_s=0.25, gpu_s=0.1, user=_user(4)),
    Workload(
        name="noisy neighbours",
        fetch_cpu_s=0.6,
        drift=0.07,
        episode_every_s=40,
        episode_depth=0.35,
        episode_length_s=12,
        background_cpus=2.0,
    ),
)
UNMODELLED = tuple(
    workload.but(unmodelled=True)
    for workload in (
        Workload(name="lock shared by workers", fetch_cpu_s=0.25, fetch_io_s=0.12, fetch_io_spread=0.2, io_lanes=1),
        Workload(
            name="storage collapses",
            cpus=24,
            fetch_cpu_s=0.05,
            fetch_io_s=0.45,
            fetch_io_spread=0.4,
            io_lanes=6,
            io_thrash=0.5,
            gpu_s=0.07,
        ),
        Workload(name="lazy open", lazy_open_s=3.0, fetch_cpu_s=0.35, epoch_batches=400),
        Workload(name="GPU slowed by workers", fetch_cpu_s=0.5, gpu_slope=0.5),
        Workload(
            name="pin thread bound",
            fetch_cpu_s=0.3,
            gpu_s=0.08,
            pin_s=0.12,
            copy_pageable_s=0.012,
            copy_pinned_s=0.004,
            batch_bytes=300 * MIB,
        ),
        Workload(name="synchronous loop", fetch_cpu_s=0.45, gpu_s=0.09, launch_s=0.03, synchronous=True),
        Workload(
            name="cold page cache",
            fetch_cpu_s=0.15,
            fetch_io_s=0.35,
            fetch_io_spread=0.5,
            cold_cache=4.0,
            cache_warm_s=45.0,
        ),
        Workload(
            name="hidden neighbours",
            cpus=8,
            fetch_cpu_s=0.3,
            drift=0.06,
            episode_every_s=60,
            episode_depth=0.3,
            episodes_visible=False,
        ),
        Workload(
            name="tail and collapse",
            cpus=12,
            fetch_cpu_s=0.1,
            fetch_io_s=0.25,
            io_lanes=5,
            io_thrash=0.4,
            tail_share=0.02,
            tail_factor=10,
            gpu_s=0.06,
        ),
    )
)
DESIGNED = MODELLED + UNMODELLED


def random_workloads(count: int, seed: int = RANDOM_SEED) -> list[Workload]:
    """Return ``count`` jobs drawn from wide ranges, a good part of them with unmodelled mechanisms."""
    random = np.random.default_rng(seed)
    return [_draw(random, f"random {number:02d}") for number in range(count)]


def _draw(random: np.random.Generator, name: str) -> Workload:
    def pick(*values: float) -> float:
        return float(random.choice(values))

    def between(low: float, high: float) -> float:
        return float(random.uniform(low, high))

    cpus = int(pick(2, 4, 8, 12, 16, 24))
    gpu_s = float(np.exp(between(np.log(0.02), np.log(0.4))))
    needed_workers = float(np.exp(between(np.log(0.1), np.log(1.3 * cpus))))
    io_share = pick(0.0, 0.0, 0.3, 0.8)
    fetch_s = needed_workers * gpu_s
    tail = random.random() < 0.2
    copy_s = gpu_s * pick(0.005, 0.03, 0.2)
    lanes = pick(1e9, 1e9, max(2.0, 0.7 * needed_workers), max(2.0, 1.5 * needed_workers))
    thrash, lazy_s, gpu_slope = pick(0, 0, 0.3), pick(0, 0, 3.0), pick(0, 0, 0.2)
    visible = random.random() < 0.5
    return Workload(
        name=name,
        cpus=cpus,
        gpu_s=gpu_s,
        fetch_cpu_s=fetch_s * (1 - io_share),
        fetch_io_s=fetch_s * io_share,
        fetch_io_spread=between(0.2, 0.7),
        io_lanes=lanes,
        fetch_cpu_spread=between(0.05, 0.5),
        memory_slope=between(0, 0.4),
        oversubscription=between(0, 1.2),
        background_cpus=between(0, min(2, cpus / 4)),
        launch_s=gpu_s * between(0.1, 0.8),
        copy_pageable_s=copy_s,
        copy_pinned_s=0.4 * copy_s,
        batch_bytes=int(pick(1, 20, 100, 400)) * MIB,
        memory_bytes=int(pick(16, 64)) * GIB,
        shm_bytes=int(pick(8, 32)) * GIB,
        log_every=int(pick(10, 50, 200)),
        log_s=pick(0.001, 0.02, 0.1),
        synchronous=random.random() < 0.33,
        drift=between(0.005, 0.06),
        episode_every_s=pick(40, 120, 400),
        episode_depth=between(0.1, 0.35),
        episodes_visible=visible,
        gpu_slope=gpu_slope,
        io_thrash=thrash,
        lazy_open_s=lazy_s,
        tail_share=between(0.01, 0.05) if tail else 0.0,
        tail_factor=between(5, 15) if tail else 1.0,
        user=_user(int(pick(0, 2, 4))),
        unmodelled=bool(thrash or lazy_s or gpu_slope or not visible),
    )
