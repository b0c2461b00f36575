"""What a set of settings costs, in units of one worker process, and what is left when cost and speed
compete. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from gputune.probes.settings import Settings

GIB_PER_WORKER = 4.0
"""Memory that weighs as much as one worker."""
PREFETCH = 0.02
PINNED = 0.01
OUT_OF_ORDER = 0.5
"""Tie-breakers: equal speed and memory go to the less unusual setting."""


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """One measured set of settings on the way from cheap to fast."""

    settings: Settings
    samples_per_s: float
    cost: float


def memory_bytes(settings: Settings, worker_bytes: int, batch_bytes: int) -> int:
    """Return what workers and the batches in flight take (each worker holds one more in the making)."""
    if settings.num_workers == 0:
        return batch_bytes
    in_flight = settings.num_workers * ((settings.prefetch_factor or 1) + 1)
    return settings.num_workers * worker_bytes + in_flight * batch_bytes


def cost(settings: Settings, worker_bytes: int = 0, batch_bytes: int = 0) -> float:
    """Return the cost: a worker is 1 (its start-up, wake-ups and core), memory and oddities come on top."""
    return (
        settings.num_workers
        + memory_bytes(settings, worker_bytes, batch_bytes) / 2**30 / GIB_PER_WORKER
        + PREFETCH * (settings.prefetch_factor or 0)
        + PINNED * settings.pin_memory
        + OUT_OF_ORDER * (not settings.in_order)
    )


def pareto(points: Sequence[Point]) -> list[Point]:
    """Return the points no other point beats in both speed and cost, cheapest first."""
    front: list[Point] = []
    for point in sorted(points, key=lambda p: (p.cost, -p.samples_per_s)):
        if not front or point.samples_per_s > front[-1].samples_per_s:
            front.append(point)
    return front
