"""What the replay model learns from each burst: contention, concurrency and what is left over. Pure."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


class Contention:
    """How CPU work slows down as more of it runs: a Bayesian line in the logarithm.

    ``log time = log alone + sharing * log(demand / cores, at least 1) + crowding * running / cores``

    ``sharing`` 1 is fair sharing, more is worse (context switches, caches); ``crowding`` is memory bandwidth
    and shared cores' clocks. A prior makes the first prediction; every burst narrows it.
    """

    def __init__(self, cores: float, *, sharing: tuple[float, float], crowding: tuple[float, float]) -> None:
        self.cores = max(cores, 0.1)
        self._prior = (sharing, crowding)
        self._rows: list[tuple[Floats, float, float]] = []
        self._weights = np.array([0.0, sharing[0], crowding[0]])
        self._alone: tuple[float, float] | None = None

    def suppose(self, alone_s: float, spread: float) -> None:
        """Set what the work is believed to take on an idle machine, with its relative uncertainty."""
        self._alone = (float(np.log(max(alone_s, 1e-9))), spread)
        self._solve()

    def learn(self, running: float, others: float, measured_s: float, spread: float) -> None:
        """Add a measurement: ``running`` pieces of this work and ``others`` cores of everything else."""
        if measured_s > 0:
            self._rows.append((self._features(np.array(running), others), float(np.log(measured_s)), spread))
            self._solve()

    def time_s(self, running: Floats, others: float | Floats) -> Floats:
        """Return the seconds the work takes at each concurrency, shape of ``running``."""
        return np.asarray(np.exp(self._features(running, others) @ self._weights), dtype=np.float64)

    def _features(self, running: Floats, others: float | Floats) -> Floats:
        demand = np.maximum(1.0, (running + others) / self.cores)
        return np.stack([np.ones_like(demand), np.log(demand), np.minimum(1.0, running / self.cores)], axis=-1)

    def _solve(self) -> None:
        alone = self._alone or (self._rows[0][1] if self._rows else 0.0, 1.0)
        mean = np.array([alone[0], self._prior[0][0], self._prior[1][0]])
        precision = np.diag([1 / alone[1] ** 2, 1 / self._prior[0][1] ** 2, 1 / self._prior[1][1] ** 2])
        moment = precision @ mean
        for features, value, spread in self._rows:
            precision = precision + np.outer(features, features) / spread**2
            moment = moment + features * value / spread**2
        self._weights = np.linalg.solve(precision, moment)


class Waiting:
    """How the waiting part of a batch (storage, locks, network) moves with the number of workers at it.

    Kriging of its logarithm over ``log2(workers + 1)``: flat until a second concurrency has been seen, then
    along the trend (1 per doubling is a saturated disk), smoothly bent where storage saturates or collapses.
    """

    LEVEL, TREND, BEND, REACH = 10.0, 0.7, 0.3, 0.7

    def __init__(self) -> None:
        self._at: list[float] = []
        self._values: list[float] = []
        self._spreads: list[float] = []

    def learn(self, workers: float, measured_s: float, spread: float) -> None:
        """Add a measured mean waiting time per batch."""
        if measured_s > 0:
            self._at.append(float(np.log2(workers + 1)))
            self._values.append(float(np.log(measured_s)))
            self._spreads.append(spread)

    def time_s(self, workers: Floats) -> Floats:
        """Return the mean waiting seconds of a batch at each concurrency."""
        if not self._at:
            return np.zeros_like(workers)
        seen = np.array(self._at)
        kernel = self._kernel(seen, seen) + np.diag(np.square(self._spreads))
        weights = np.linalg.solve(kernel, np.array(self._values))
        return np.asarray(np.exp(self._kernel(np.log2(workers + 1), seen) @ weights), dtype=np.float64)

    def _kernel(self, left: Floats, right: Floats) -> Floats:
        distance = (left[:, None] - right[None]) / self.REACH
        trend = self.TREND**2 * np.outer(left - 2.0, right - 2.0)
        return np.asarray(self.LEVEL**2 + trend + self.BEND**2 * np.exp(-0.5 * distance**2), dtype=np.float64)


class Residual:
    """What replay and corrections leave unexplained: kriging over the settings, as wide as past errors were
    large."""

    SCALE = 0.05
    """Relative error expected of a prediction before any has been checked."""
    PRIOR_CHECKS = 2.0

    def __init__(self, features: Floats, errors: Floats, spreads: Floats) -> None:
        """Take checked predictions: ``features`` (n, d), ``errors`` log(measured / replayed) and their
        noise."""
        self._features, self._errors, self._spreads = features, errors, spreads
        surprise = np.maximum(0.0, errors**2 - spreads**2).sum() if len(errors) else 0.0
        self.scale = float(np.sqrt((self.PRIOR_CHECKS * self.SCALE**2 + surprise) / (self.PRIOR_CHECKS + len(errors))))

    def at(self, features: Floats) -> tuple[Floats, Floats]:
        """Return the mean correction of log(rate) and its standard deviation, each of shape (candidates,)."""
        if not len(self._errors):
            return np.zeros(len(features)), np.full(len(features), self.scale)
        kernel = self._kernel(self._features, self._features) + np.diag(self._spreads**2)
        cross = self._kernel(features, self._features)
        mean = cross @ np.linalg.solve(kernel, self._errors)
        explained = np.einsum("ij,ji->i", cross, np.linalg.solve(kernel, cross.T))
        return mean, np.sqrt(np.maximum(self.scale**2 - explained, 1e-8))

    def _kernel(self, left: Floats, right: Floats) -> Floats:
        distance = ((left[:, None] - right[None]) ** 2).sum(-1)
        return np.asarray(self.scale**2 * np.exp(-0.5 * distance), dtype=np.float64)
