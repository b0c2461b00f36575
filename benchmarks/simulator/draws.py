"""The random numbers of one simulated run: the same batch costs the same however it is scheduled."""

from __future__ import annotations

import math

import numpy as np

from .workload import Workload


class Draws:
    """What each batch costs, drawn in blocks."""

    def __init__(self, workload: Workload, seed: int) -> None:
        self._workload, self._random = workload, np.random.default_rng(seed)
        self._draws: list[tuple[float, float, float, float]] = []

    def of(self, batch: int) -> tuple[float, float, float, float]:
        """Return CPU seconds, reading seconds, whether it is a slow one, and the step's own deviate."""
        while len(self._draws) <= batch:
            self._draws.extend(self._block(1024))
        return self._draws[batch]

    def _block(self, count: int) -> list[tuple[float, float, float, float]]:
        work, random = self._workload, self._random
        cpu = work.fetch_cpu_s * _lognormal(random, work.fetch_cpu_spread, count)
        slow = random.random(count) < work.tail_share
        cpu *= np.where(slow, work.tail_factor, 1.0) / (1 + work.tail_share * (work.tail_factor - 1))
        io = work.fetch_io_s * _lognormal(random, work.fetch_io_spread, count)
        return list(zip(cpu.tolist(), io.tolist(), slow.tolist(), random.normal(size=count).tolist(), strict=True))


def _lognormal(random: np.random.Generator, spread: float, count: int) -> np.ndarray:
    """Return values of mean 1 and the given coefficient of variation."""
    variance = math.log(1 + spread * spread)
    return np.exp(random.normal(size=count) * math.sqrt(variance) - variance / 2)
