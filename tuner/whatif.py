"""Replay under learned corrections: the part of the model that holds for one set of bursts. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean, median

import numpy as np
import numpy.typing as npt

from gputune import replay, steady
from gputune.corrections import Contention, Floats, Waiting
from gputune.loop import Loop
from gputune.probes.settings import Settings
from gputune.reading import Seen
from gputune.shape import Shape

REPLAYED_BATCHES = 240
TAIL_BATCHES = 480
"""Batches replayed when service times vary by more than :data:`HEAVY`: rare slow ones must appear often
enough."""
HEAVY = 0.7
"""Coefficient of variation of service times from which they count as heavy-tailed."""
ORDERS = 6
"""Places at which a burst's own batches are begun when it is replayed as it was."""
FIXED_POINT_ROUNDS = 10
"""Enough for load and speed to agree within a per mille."""
HIDDEN = 0.3
"""Share of the loop's own time expected to overlap with fetching on the training thread (queued GPU work)."""
CROWDED = 1.05
"""Demand for this many times the cores is over-subscription."""
CALM_SPREAD, CROWDED_SPREAD = 0.10, 0.35
"""How far the CPU time of a batch may be from what it takes alone: crowded cores inflate CPU time too."""


class WhatIf:
    """Replays the batches of all bursts for settings nobody has tried.

    Args:
        seen: what the bursts taught; at least one.
        cores: cores the container really gives.
        loop: the training loop's own speed.
        shape: how service times are spread, over the same bursts.
    """

    def __init__(self, seen: Sequence[Seen], cores: float, loop: Loop, shape: Shape) -> None:
        self._seen, self._loop, self._shape = seen, loop, shape
        self._others = median(s.others for s in seen)
        self._waiting = Waiting()
        self._computing = Contention(cores, sharing=(1.15, 0.4), crowding=(0.10, 0.12))
        calm = min(range(len(seen)), key=lambda n: seen[n].running)
        computing_s = min(seen[calm].computing_s, max(1e-7, fmean(b.cpu_s for b in seen[calm].burst.workers)))
        self._computing.suppose(
            computing_s * float(shape.levels[calm][0]),
            CROWDED_SPREAD if crowded(seen[calm], cores) else CALM_SPREAD,
        )
        for number, s in enumerate(seen):
            self._learn(s, number)
        self._drawn = shape.draw(TAIL_BATCHES if shape.tailed or shape.variation > HEAVY else REPLAYED_BATCHES)

    def _learn(self, s: Seen, number: int) -> None:
        spread = steady.variation(s.burst) / len(s.burst.workers) ** 0.5
        if self._shape.tailed:
            spread = self._shape.parts[number].spread
        noise = max(0.02, spread, min(0.1, s.spread / 2))
        computing, waiting = self._shape.levels[number]
        # Where a batch hardly computes (or hardly waits), that part is the small difference of two clocks.
        share = s.computing_s / max(1e-12, s.computing_s + s.waiting_s)
        self._computing.learn(s.running, s.others, s.computing_s * computing, noise / max(share, 0.05))
        if share < 0.98:
            self._waiting.learn(s.at_work, s.waiting_s * waiting, noise / max(1 - share, 0.05))

    def as_measured(self, number: int) -> float:
        """Return the batches/s that replay gives for a burst exactly as it was run.

        The queue starts empty, the first batches are discarded, and the burst's own batches come in their own order,
        begun at several places, since which of them was handed out first is not known: what it owes to the stock it
        began with, and to the slow batches it happened to meet, is in the replay too.
        """
        seen, own = self._seen[number], self._shape.own[number]
        if seen.burst.settings.num_workers == 0:
            longer_s = float((1 - self._shape.levels[number]) @ np.array([seen.computing_s, seen.waiting_s]))
            return 1 / max(1e-9, 1 / self._rate_alone() + longer_s)
        discard, count = max(1, seen.burst.warmup_batches), len(seen.burst.period_s)
        replayed = np.ones((2, discard + count, ORDERS))
        for order in range(ORDERS):
            first = order * own.shape[1] // ORDERS
            replayed[:, discard:, order] = own[:, (first + np.arange(count)) % own.shape[1]]
        rates, _, _ = self.rates([seen.burst.settings] * ORDERS, replayed, discard)
        return float(1 / np.mean(1 / rates))

    def rates(
        self, candidates: Sequence[Settings], drawn: Floats | None = None, discard: int | None = None
    ) -> tuple[Floats, Floats, Floats]:
        """Return replayed batches/s, busy workers, and what the workers could make over what the loop can take.

        ``drawn`` are batches to replay instead of the pooled ones, the first ``discard`` of them not counted.
        """
        drawn = self._drawn if drawn is None else drawn
        workers = np.array([c.num_workers for c in candidates], dtype=np.int64)
        prefetch = np.array([c.prefetch_factor or 1 for c in candidates], dtype=np.int64)
        ordered = np.array([c.in_order for c in candidates])
        copying = np.array([self._loop.copying[c.pin_memory] for c in candidates])
        receive = np.array([self._loop.receive_s[c.pin_memory] for c in candidates])
        rate, at_work, room = np.empty(len(candidates)), np.zeros(len(candidates)), np.ones(len(candidates))
        alone = workers == 0
        if alone.any():
            rate[alone] = self._rate_alone() * np.ones(int(alone.sum()))
        for choice, function in ((True, replay.in_order), (False, replay.any_order)):
            mine = np.flatnonzero(~alone & (ordered == choice))
            if not len(mine):
                continue
            computing, waiting, busy, at_work[mine] = self._settle(workers[mine], copying[mine], receive[mine])
            rate[mine] = function(
                drawn[0],
                drawn[1],
                computing,
                waiting,
                busy,
                receive[mine],
                workers[mine],
                prefetch[mine],
                discard,
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
            busy = self._loop.beside_s(running, self._others - 1) * copying
            service = computing + waiting
            rate = np.minimum(1 / (busy + receive), workers / service)
            at_work = 0.5 * (at_work + np.minimum(workers, rate * service))
            running = 0.5 * (running + at_work * computing / service)
        return computing, waiting, busy, at_work

    def _share_computing(self) -> float:
        last = self._seen[-1]
        return last.computing_s / max(1e-12, last.computing_s + last.waiting_s)

    def _rate_alone(self) -> float:
        """Return batches/s with fetching on the training thread, where it may overlap with queued GPU
        work."""
        alone = [n for n, s in enumerate(self._seen) if s.burst.settings.num_workers == 0]
        if alone:
            seen = self._seen[alone[-1]]
            usual = (self._shape.levels[alone[-1]] - 1) @ np.array([seen.computing_s, seen.waiting_s])
            return float(1 / max(1e-9, 1 / seen.delivered + usual))
        return self.alone_at(HIDDEN)

    def alone_at(self, hidden: float) -> float:
        """Return batches/s with fetching on the training thread when this share of the loop's time overlaps with
        it."""
        # Nothing else of ours runs meanwhile, so nothing crowds it.
        service = self._computing.time_s(np.array(0.0), self._others) + self._waiting.time_s(np.array([1.0]))[0]
        return float(1 / max(self._loop.alone_s(), service + (1 - hidden) * self._loop.alone_s()))


def crowded(seen: Seen, cores: float) -> bool:
    """Whether more wanted to run during a burst than there are cores."""
    return seen.running + seen.others > CROWDED * cores
