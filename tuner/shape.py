"""How the times batches take are spread, pooled over bursts: a slow one in twenty is rarely in a short burst. Pure.

The mean of a short burst depends on how many slow batches happened to be in it. What its ordinary batches take
does not, so every burst is measured by those, and the slow ones of all bursts together say how much they add.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from gputune import steady
from gputune.probes.burst import Burst

Floats = npt.NDArray[np.float64]

ORDINARY = 0.75
"""The fastest batches of a burst up to this share are its ordinary ones."""
TAIL_FACTOR = 3.5
"""A batch this many times slower than the ordinary ones is a slow one."""
NO_PART = 0.02
"""A part (computing, waiting) below this share of the service time is the small difference of two clocks."""


class Parts:
    """Computing and waiting seconds of each batch of one burst, shape (2, batches), in the order they began.

    Args:
        burst: at least two stamped batches.
        waits: whether what is no CPU time is waiting; under contention it is mostly queueing for a core.
    """

    def __init__(self, burst: Burst, *, waits: bool) -> None:
        batches = sorted(burst.workers, key=lambda batch: batch.start_s)
        wall = np.array([batch.fetch_s + batch.collate_s for batch in batches])
        cpu = np.minimum(wall, np.array([batch.cpu_s for batch in batches]))
        self.wall = wall
        self.seconds = np.stack([cpu, wall - cpu if waits else np.zeros_like(wall)])
        ordinary = np.argsort(wall, kind="stable")[: max(2, int(ORDINARY * len(wall)))]
        self.ordinary_wall_s = float(wall[ordinary].mean())
        self.ordinary = self.seconds[:, ordinary].mean(axis=1, keepdims=True)
        kept = wall[ordinary]
        self.spread = float(kept.std() / max(1e-12, kept.mean()) / math.sqrt(len(kept)))
        """Relative standard error of what the ordinary ones take."""

    def relative(self, base: Floats) -> Floats:
        """Return the seconds over ``base`` (shape (2, 1)); a part too small to be told apart varies with the other."""
        known = self.seconds.mean(axis=1) > NO_PART * self.wall.mean()
        result = self.seconds / np.where(base > 0, base, 1.0)
        for part in (0, 1):
            if not known[part] or base[part, 0] <= 0:
                result[part] = result[1 - part] if known[1 - part] and base[1 - part, 0] > 0 else 1.0
        return np.asarray(result, dtype=np.float64)


class Shape:
    """The pooled spread of service times.

    Args:
        bursts: each with at least two stamped batches.
        waits: for each burst, whether its batches wait (see :class:`Parts`).
    """

    def __init__(self, bursts: Sequence[Burst], waits: Sequence[bool]) -> None:
        self.parts = [Parts(burst, waits=wait) for burst, wait in zip(bursts, waits, strict=True)]
        slowest = max(float(parts.wall.max()) / max(1e-12, parts.ordinary_wall_s) for parts in self.parts)
        self.tailed = slowest > TAIL_FACTOR
        """Whether some batches take several times the usual time: they hold up everything behind them in order."""
        counts = [len(parts.wall) for parts in self.parts]
        self.variation = float(np.average([steady.variation(burst) for burst in bursts], weights=counts))
        """Coefficient of variation of service times."""
        bases = [parts.ordinary if self.tailed else parts.seconds.mean(axis=1, keepdims=True) for parts in self.parts]
        relative = [parts.relative(base) for parts, base in zip(self.parts, bases, strict=True)]
        self._pooled = np.concatenate(relative, axis=1)
        mean = self._pooled.mean(axis=1, keepdims=True)
        self.own = [values / mean for values in relative]
        """Each burst's batches over the expected mean, shape (2, batches), in the order they began."""
        self.levels = [values.mean(axis=1) ** -1.0 for values in self.own]
        """For each burst what its computing and waiting would have been with the usual number of slow batches, over
        what they were, shape (2,)."""

    def draw(self, count: int) -> Floats:
        """Return ``count`` batches of the pool in random order, shape (2, count), each part with mean 1."""
        order = np.random.default_rng(1).permutation(np.arange(count) % self._pooled.shape[1])
        drawn = self._pooled[:, order]
        return np.asarray(drawn / drawn.mean(axis=1, keepdims=True), dtype=np.float64)
