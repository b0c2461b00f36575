"""The what-if model: predicts samples/s of settings nobody has tried from the bursts that were measured. Pure.

Measured service times of batches are replayed through the loader's dispatch (:mod:`gputune.replay`) under learned
corrections (:mod:`gputune.corrections`): CPU contention, waiting that grows with concurrency, the main loop slowed
by busy workers, and the residual of every prediction that was checked.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean, median

import msgspec
import numpy as np
import numpy.typing as npt

from gputune import replay, stats, steady
from gputune.corrections import Contention, Residual, Waiting
from gputune.probes.burst import Burst
from gputune.probes.settings import Settings
from gputune.reading import Seen, read

Floats = npt.NDArray[np.float64]

REPLAYED_BATCHES = 240
TAIL_BATCHES = 480
"""Batches replayed when service times vary by more than :data:`HEAVY`: rare slow ones must appear often enough."""
HEAVY = 0.7
CROWDED = 1.05
"""Demand for this many times the cores is over-subscription."""
CALM_SPREAD, CROWDED_SPREAD = 0.10, 0.35
"""How far the CPU time of a batch may be from what it takes alone: crowded cores inflate CPU time too."""
TAIL_FACTOR = 4.0
"""A batch this many times slower than the median is a slow one."""
FIXED_POINT_ROUNDS = 10
RECEIVE_S = 5e-4
"""Prior of the main-thread time to take a finished batch (a handle to shared memory, not its bytes)."""
RECEIVE_PINNED = 0.4
"""Share of it left when the pin thread has already taken the batch out of the queue."""
SLOW_BATCHES = 0.6
"""Rates vary less than independent batches would: the queue smooths some of it."""
STARVED = 0.05
"""Share of time waiting for data above which a burst says nothing about the loop's own speed: queued GPU work hides
in the wait."""
OVERLAP_SPREAD = 0.08
"""Added to the spread of fetching on the training thread while it is unknown how much of it the GPU's queue hides."""
LOOP_SPREAD = 0.15
"""Share of the spread that is left when the workers have much to spare."""
HIDDEN = 0.3
"""Share of the loop's own time expected to overlap with fetching on the training thread (queued GPU work)."""


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
        self._samples_per_batch = (
            fmean(ceiling.samples) if self.ceiling and ceiling and ceiling.samples else 1.0
        )

    @property
    def knows_service(self) -> bool:
        """Whether any burst told how long batches take to make; without it there is nothing to replay."""
        return bool(self.seen)

    @property
    def variation(self) -> float:
        """Coefficient of variation of service times, pooled over bursts."""
        return float(
            np.average(
                [steady.variation(s.burst) for s in self.seen],
                weights=[len(s.burst.workers) for s in self.seen],
            )
        )

    @property
    def tailed(self) -> bool:
        """Whether some batches take several times the usual time: they hold up everything behind them in order."""
        services = [batch.fetch_s + batch.collate_s for s in self.seen for batch in s.burst.workers]
        return max(services) > TAIL_FACTOR * median(services)

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
        rate, at_work, room = self._replayed(candidates)
        seen = [s.burst.settings for s in self.seen]
        replayed, _, _ = self._replayed(seen)
        errors = np.log([s.rate for s in self.seen]) - np.log(replayed)
        residual = Residual(_features(seen), errors, np.array([self.noise(s.burst) for s in self.seen]))
        correction, spread = residual.at(_features(candidates))
        # What was left unexplained is the workers' side; no correction lifts a rate over what the loop can take.
        limit = np.array([self.loop_samples_per_s(c) if c.num_workers else math.inf for c in candidates])
        expected = rate * np.exp(correction) * self._samples_per_batch
        capped = np.minimum(expected, np.maximum(limit, rate * self._samples_per_batch))
        # With workers to spare their uncertainty does not matter; slow samples in order do (the replay shows them).
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
        busy_s = float(self._loop.time_s(np.array(0.0), 0.0)) * self._copying[settings.pin_memory]
        return self._samples_per_batch / (
            busy_s + (self._receive_s[settings.pin_memory] if settings.num_workers else 0.0)
        )

    def crowded(self, burst: Burst) -> bool:
        """Whether more wanted to run during a burst than there are cores."""
        return any(self._crowded(s) for s in self.seen if s.burst is burst)

    def _crowded(self, seen: Seen) -> bool:
        return seen.running + seen.others > CROWDED * self.cores

    def net_wait_share(self, burst: Burst) -> float:
        """Return the share of a burst spent waiting for data that was not ready."""
        waited = sum(max(0.0, wait - self._receive_s[burst.settings.pin_memory]) for wait in burst.wait_s)
        return waited / sum(burst.period_s) if burst.period_s else 0.0

    def limit(self, settings: Settings) -> str:
        """Return what holds ``settings`` back, in a few words."""
        expected = self.predict([settings])
        if expected.samples_per_s[0] > 0.95 * self.loop_samples_per_s(settings):
            return "the training loop's own work per batch (copying, receiving, launching)"
        last = max(self.seen, key=lambda s: s.rate)
        needed = self.loop_samples_per_s(settings) / self._samples_per_batch
        if last.computing_s >= last.waiting_s:
            cpu_s = fmean(batch.cpu_s for batch in last.burst.workers)
            return f"CPU work in the loader: it needs {needed * cpu_s + 1:.1f} cores, this machine gives {self.cores:g}"
        return f"waiting in the loader (storage, network or a lock): {1e3 * last.waiting_s:.3g} ms of every batch"

    # -- learning

    def noise(self, burst: Burst) -> float:
        """Return how far a burst's rate may be off (relative), given how rare slow batches are in all bursts."""
        unseen = SLOW_BATCHES * self.variation / math.sqrt(max(4, len(burst.period_s)))
        if stats.data_wait_share(burst) < STARVED and self.variation < HEAVY:
            unseen *= 0.3
        spread = next((s.spread for s in self.seen if s.burst is burst), 0.3)
        return math.hypot(spread, min(0.5, unseen))

    def _fit(self) -> None:
        self._computing = Contention(self.cores, sharing=(1.15, 0.4), crowding=(0.10, 0.12))
        self._waiting = Waiting()
        self._loop = Contention(self.cores, sharing=(0.5, 0.6), crowding=(0.02, 0.05))
        calm = min(self.seen, key=lambda s: s.running)
        self._computing.suppose(
            min(calm.computing_s, max(1e-7, fmean(b.cpu_s for b in calm.burst.workers))),
            CROWDED_SPREAD if self._crowded(calm) else CALM_SPREAD,
        )
        self._others = median(s.others for s in self.seen)
        self._receive_s = self._receiving()
        self._copying = self._copying_factors()
        self._loop.suppose(self._alone_s(), 0.03)
        for s in self.seen:
            count = len(s.burst.workers)
            noise = max(0.02, steady.variation(s.burst) / math.sqrt(count), s.spread / 2)
            # Where a batch hardly computes (or hardly waits), that part is the small difference of two clocks.
            share = s.computing_s / max(1e-12, s.computing_s + s.waiting_s)
            self._computing.learn(s.running, s.others, s.computing_s, noise / max(share, 0.05))
            if share < 0.98:
                self._waiting.learn(s.at_work, s.waiting_s, noise / max(1 - share, 0.05))
            if s.burst.settings.num_workers and self._shows_loop(s):
                factor = self._copying[s.burst.settings.pin_memory]
                self._loop.learn(s.running, s.others - 1, s.busy_s / factor, 0.02)
        self._pool()

    def _shows_loop(self, seen: Seen) -> bool:
        """Whether a burst's time outside ``next()`` is the loop's own speed."""
        return self.net_wait_share(seen.burst) < STARVED or seen.busy_s > self._reference_s()

    def _reference_s(self) -> float:
        return fmean(self.ceiling.period_s) if self.ceiling is not None else math.inf

    def _alone_s(self) -> float:
        """Seconds of the loop's own work per step with idle workers, pageable or pinned as the ceiling was."""
        if self.ceiling is not None:
            return fmean(self.ceiling.period_s)
        calm = min(self.seen, key=lambda s: s.running)
        return calm.busy_s / self._copying[calm.burst.settings.pin_memory]

    def _copying_factors(self) -> dict[bool, float]:
        """Return what pinning does to the loop's own time, relative to the reference burst's choice."""
        reference = (self.ceiling or self.seen[0].burst).settings.pin_memory
        if self.ceiling is not None and self.other_ceiling is not None and self.other_ceiling.period_s:
            return {
                reference: 1.0,
                not reference: fmean(self.other_ceiling.period_s) / fmean(self.ceiling.period_s),
            }
        fed = [s for s in self.seen if s.burst.settings.num_workers and self._shows_loop(s)]
        mine = [s.busy_s for s in fed if s.burst.settings.pin_memory is reference]
        theirs = [s.busy_s for s in fed if s.burst.settings.pin_memory is not reference]
        other = min(1.2, max(0.2, min(theirs) / min(mine))) if mine and theirs else 1.0
        return {reference: 1.0, not reference: other}

    def _receiving(self) -> dict[bool, float]:
        """Return the time ``next()`` takes when a batch lies ready, unpinned and pinned."""
        known: dict[bool, float] = {}
        for s in self.seen:
            if s.burst.settings.num_workers == 0:
                continue
            at_hand = [w for w, ready in zip(s.burst.wait_s, s.burst.ready, strict=False) if ready >= 1]
            shortest = median(at_hand) if len(at_hand) >= 4 else min(RECEIVE_S, *s.burst.wait_s)
            pin = s.burst.settings.pin_memory
            known[pin] = min(shortest, known.get(pin, math.inf))
        plain = known.get(False, known[True] / RECEIVE_PINNED if True in known else RECEIVE_S)
        return {False: plain, True: known.get(True, RECEIVE_PINNED * plain)}

    def _pool(self) -> None:
        """Draw the batches to replay from all bursts, each part relative to its burst's mean."""
        parts = []
        for s in self.seen:
            wall = np.array([b.fetch_s + b.collate_s for b in s.burst.workers])
            cpu = np.minimum(wall, np.array([b.cpu_s for b in s.burst.workers]))
            rest = wall - cpu
            # Under contention the rest is mostly queueing for a core; it then varies with the computing part.
            waits = rest if s.waiting_s > 0.02 * wall.mean() and rest.mean() > 0 else np.zeros_like(rest)
            parts.append(np.stack([_relative(cpu), _relative(waits)]))
        pooled = np.concatenate(parts, axis=1)
        count = TAIL_BATCHES if self.variation > HEAVY else REPLAYED_BATCHES
        drawn = pooled[:, np.random.default_rng(1).permutation(np.arange(count) % pooled.shape[1])]
        means = drawn.mean(axis=1, keepdims=True)
        self._drawn = drawn / np.where(means > 0, means, 1.0)

    # -- predicting

    def _replayed(self, candidates: Sequence[Settings]) -> tuple[Floats, Floats, Floats]:
        """Return replayed batches/s, busy workers, and what the workers could make over what the loop can take."""
        workers = np.array([c.num_workers for c in candidates], dtype=np.int64)
        prefetch = np.array([c.prefetch_factor or 1 for c in candidates], dtype=np.int64)
        ordered = np.array([c.in_order for c in candidates])
        copying = np.array([self._copying[c.pin_memory] for c in candidates])
        receive = np.array([self._receive_s[c.pin_memory] for c in candidates])
        rate, at_work, room = np.empty(len(candidates)), np.zeros(len(candidates)), np.ones(len(candidates))
        alone = workers == 0
        if alone.any():
            rate[alone] = self._rate_alone() * np.ones(int(alone.sum()))
        for choice, function in ((True, replay.in_order), (False, replay.any_order)):
            mine = np.flatnonzero(~alone & (ordered == choice))
            if not len(mine):
                continue
            computing, waiting, busy, at_work[mine] = self._settle(
                workers[mine], copying[mine], receive[mine]
            )
            rate[mine] = function(
                self._drawn[0],
                self._drawn[1],
                computing,
                waiting,
                busy,
                receive[mine],
                workers[mine],
                prefetch[mine],
            )
            room[mine] = workers[mine] / (computing + waiting) * (busy + receive[mine])
        return rate, at_work, room

    def _settle(
        self, workers: npt.NDArray[np.int64], copying: Floats, receive: Floats
    ) -> tuple[Floats, Floats, Floats, Floats]:
        """Return service parts, loop time and busy workers at the point where load and speed agree."""
        at_work = workers.astype(np.float64)
        running = at_work * self._share_computing()
        for _ in range(FIXED_POINT_ROUNDS):
            computing = self._computing.time_s(running, self._others)
            waiting = self._waiting.time_s(at_work)
            busy = self._loop.time_s(running, self._others - 1) * copying
            service = computing + waiting
            rate = np.minimum(1 / (busy + receive), workers / service)
            at_work = 0.5 * (at_work + np.minimum(workers, rate * service))
            running = 0.5 * (running + at_work * computing / service)
        return computing, waiting, busy, at_work

    def _share_computing(self) -> float:
        last = self.seen[-1]
        return last.computing_s / max(1e-12, last.computing_s + last.waiting_s)

    def _rate_alone(self) -> float:
        """Return batches/s with fetching on the training thread, where it may overlap with queued GPU work."""
        alone = [s for s in self.seen if s.burst.settings.num_workers == 0]
        if alone:
            return alone[-1].rate
        service = (
            self._computing.time_s(np.array(1.0), self._others - 1) + self._waiting.time_s(np.array([1.0]))[0]
        )
        return float(1 / max(self._alone_s(), service + (1 - HIDDEN) * self._alone_s()))


def _relative(values: Floats) -> Floats:
    mean = values.mean()
    return values / mean if mean > 0 else values


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
