"""The what-if model: predicts samples/s of settings nobody has tried from the bursts that were measured.
Pure.

Measured service times of batches are replayed through the loader's dispatch (:mod:`gputune.replay`) under
learned corrections (:mod:`gputune.corrections`): CPU contention, waiting that grows with concurrency, the
main loop slowed by busy workers, and the residual of every prediction that was checked.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean

import msgspec
import numpy as np

from gputune import stats
from gputune.corrections import Floats, Residual
from gputune.loop import STARVED, Loop
from gputune.probes.burst import Burst
from gputune.probes.settings import Settings
from gputune.reading import Seen, read
from gputune.shape import NO_PART, Shape
from gputune.whatif import WhatIf, crowded

OVER_LOOP = 1.02
"""No burst proves more than this times what the loop takes when fed: it lived on its stock."""
EDGE = 0.5
"""Batches by which the count of a burst depends on the moment it began."""
FED_SHARE = 0.3
"""Part of the sampling error of service times that is left in the rate of a loop that hardly waits."""
OVERLAP_SPREAD = 0.08
"""Added to the spread of fetching on the training thread while it is unknown how much of it the GPU's queue
hides."""
MOST_HIDDEN = 0.8
"""Share of the loop's time that may overlap with fetching on the training thread at best."""
LOOP_SPREAD = 0.15
"""Share of the spread that is left when the workers have much to spare."""


class Prediction(msgspec.Struct, frozen=True):
    """Predicted rates of a list of settings."""

    samples_per_s: Floats
    spread: Floats
    """Standard deviation of the logarithm of the rate."""
    busy_cores: Floats
    """Workers expected to be at work at any moment."""
    room: Floats
    """What the workers could make over what the loop can take (1 without workers)."""


class Model:
    """Learns from bursts, predicts settings.

    Args:
        effective_cpus: cores the container really gives.
        ceiling: the burst with free data, when there was one.
    """

    def __init__(self, effective_cpus: float, ceiling: Burst | None = None) -> None:
        self.cores = max(0.1, effective_cpus)
        self.ceiling = ceiling if ceiling is not None and ceiling.period_s else None
        self.other_ceiling: Burst | None = None
        """A second burst with free data, with pinning the other way round."""
        self.seen: list[Seen] = []
        self.version = 0
        """Counts what was learnt: predictions made before are outdated when it moves."""
        self._samples_per_batch = fmean(ceiling.samples) if self.ceiling and ceiling and ceiling.samples else 1.0

    @property
    def knows_service(self) -> bool:
        """Whether any burst told how long batches take to make; without it there is nothing to replay."""
        return bool(self.seen)

    @property
    def variation(self) -> float:
        """Coefficient of variation of service times, pooled over bursts."""
        return self.shape.variation

    @property
    def tailed(self) -> bool:
        """Whether some batches take several times the usual time (see :class:`gputune.shape.Shape`)."""
        return self.shape.tailed

    @property
    def service_s(self) -> float:
        """Mean service time in the latest burst."""
        return self.seen[-1].computing_s + self.seen[-1].waiting_s

    def add(self, burst: Burst, *, disturbed: bool = False) -> None:
        """Learn from a burst; one without stamped batches teaches nothing."""
        if len(burst.workers) < 2 or len(burst.period_s) < 2 or stats.samples_per_s(burst) <= 0:
            return
        if burst.samples:
            self._samples_per_batch = fmean(burst.samples)
        self.seen.append(read(burst, self._samples_per_batch, self.cores, disturbed=disturbed))
        self._fit()

    def add_ceiling(self, burst: Burst) -> None:
        """Learn what the loop takes with pinning the other way round."""
        self.other_ceiling = burst
        if self.seen:
            self._fit()

    def predict(self, candidates: Sequence[Settings]) -> Prediction:
        """Return the predicted rate of each candidate.

        Raises:
            ValueError: nothing has been learnt yet.
        """
        if not self.seen:
            raise ValueError("no burst with stamped batches has been added")
        rate, at_work, room = self._what_if.rates(candidates)
        seen = [s.burst.settings for s in self.seen]
        residual = Residual(_features(seen), self._errors, np.array([self.noise(s.burst) for s in self.seen]))
        correction, spread = residual.at(_features(candidates))
        # What was left unexplained is the workers' side; no correction lifts a rate over what the loop can
        # take.
        limit = np.array([self.loop_samples_per_s(c) if c.num_workers else math.inf for c in candidates])
        expected = rate * np.exp(correction) * self._samples_per_batch
        capped = np.minimum(expected, np.maximum(limit, rate * self._samples_per_batch))
        # With workers to spare their uncertainty does not matter; slow samples in order do (the replay shows
        # them).
        fed = rate * self._samples_per_batch > 0.985 * limit
        spare = np.clip(1 - np.log(np.maximum(room, 1.0)) / (2 * spread), LOOP_SPREAD, 1.0)
        spread = np.where(fed, spread * spare, spread)
        if not any(s.num_workers == 0 for s in seen):
            spread[[c.num_workers == 0 for c in candidates]] += OVERLAP_SPREAD
        return Prediction(capped, spread, at_work, room)

    @property
    def samples_per_batch(self) -> float:
        """Mean samples in a measured batch."""
        return self._samples_per_batch

    def loop_samples_per_s(self, settings: Settings) -> float:
        """Return what the training loop alone would take, were every batch ready when asked for."""
        return self._samples_per_batch / self.loop.fed_s(settings)

    def knows(self, burst: Burst) -> bool:
        """Whether anything was learnt from ``burst``."""
        return any(s.burst is burst for s in self.seen)

    def steady_samples_per_s(self, burst: Burst) -> float:
        """Return the rate ``burst`` stands for, without the luck and the stock that were in it.

        It is what replay expects of its settings, corrected by how far the burst was from a replay of itself.
        """
        number = next(n for n, s in enumerate(self.seen) if s.burst is burst)
        rate = float(self._replayed[number] * np.exp(self._errors[number])) * self._samples_per_batch
        return min(rate, OVER_LOOP * self.loop_samples_per_s(burst.settings)) if burst.settings.num_workers else rate

    def alone_at_best_samples_per_s(self) -> float:
        """Return what fetching on the training thread reaches if the GPU's queue hides nearly all of the loop."""
        return self._what_if.alone_at(MOST_HIDDEN) * self._samples_per_batch

    def crowded(self, burst: Burst) -> bool:
        """Whether more wanted to run during a burst than there are cores."""
        return any(crowded(s, self.cores) for s in self.seen if s.burst is burst)

    def limit(self, settings: Settings) -> str:
        """Return what holds ``settings`` back, in a few words."""
        expected = self.predict([settings])
        if expected.samples_per_s[0] > 0.95 * self.loop_samples_per_s(settings):
            return "the training loop's own work per batch (copying, receiving, launching)"
        last = max(self.seen, key=lambda s: s.rate)
        needed = self.loop_samples_per_s(settings) / self._samples_per_batch
        if last.computing_s >= last.waiting_s:
            cpu_s = fmean(batch.cpu_s for batch in last.burst.workers)
            cores = needed * cpu_s + 1
            return f"CPU work in the loader: it needs {cores:.1f} cores, this machine gives {self.cores:g}"
        waits_ms = 1e3 * last.waiting_s
        return f"waiting in the loader (storage, network or a lock): {waits_ms:.3g} ms of every batch"

    # -- learning

    def noise(self, burst: Burst) -> float:
        """Return how far a burst's rate may be off (relative), its own slow batches allowed for."""
        number = next((n for n, s in enumerate(self.seen) if s.burst is burst), None)
        if number is None:
            return 0.3
        sampled = self.shape.parts[number].spread
        waiting = self.loop.net_wait_share(burst) if burst.settings.num_workers else 1.0
        sampled *= 1.0 if waiting > STARVED else FED_SHARE
        read = self.seen[number].drift if self.tailed else self.seen[number].spread
        return math.hypot(read, sampled, EDGE / len(burst.period_s))

    def _fit(self) -> None:
        self.loop = Loop(self.seen, self.cores, self.ceiling, self.other_ceiling)
        self.shape = Shape([s.burst for s in self.seen], [s.waiting_s > NO_PART * s.cycle_s for s in self.seen])
        self._what_if = WhatIf(self.seen, self.cores, self.loop, self.shape)
        self._replayed, _, _ = self._what_if.rates([s.burst.settings for s in self.seen])
        self._errors = self._replay_errors()
        self.version += 1

    def _replay_errors(self) -> Floats:
        """Return for each burst the logarithm of what was measured over what replay makes of it.

        With rare slow batches a burst is compared with a replay of itself, which had the same luck. Without, its
        sustained rate is the better witness: readers that share a disk hold each other up less than replay thinks.
        """
        if self.tailed:
            replayed = [self._what_if.as_measured(number) for number in range(len(self.seen))]
            return np.log([s.delivered for s in self.seen]) - np.log(replayed)
        return np.log([s.rate for s in self.seen]) - np.log(self._replayed)


def _features(settings: Sequence[Settings]) -> Floats:
    """Return settings as points in which one unit is about how far a residual carries over."""
    return np.array(
        [
            (
                math.log2(s.num_workers + 1) / 0.6,
                math.log2(s.prefetch_factor or 1) / 1.2,
                float(not s.in_order),
                1.2 * s.pin_memory,
            )
            for s in settings
        ]
    )
