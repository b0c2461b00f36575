"""The settings still in question: what the space allows, less what failed, pinned or not. Pure."""

from __future__ import annotations

import math

from gputune.probes.burst import Burst, Infeasible, StallKind
from gputune.probes.settings import Settings
from gputune.space import Space

PERSISTENT_WORTH = 0.01
"""Worker start-up above this share of an epoch switches persistent_workers on."""
COPY_WORTH = 0.005
"""Copies below this share of the time make pinning pointless."""
LEAP, LEAP_FROM = 3, 4
"""No more than this many times the workers measured so far (or this many workers) in one step."""
DEEP, DEEP_TAILED = 8, 8
"""Batches ahead a worker should keep, ordinarily and when some batches are much slower than the rest: a short burst
rarely meets the slowest batches there are, and a deep queue is the cheapest insurance against them."""
INSURANCE_SHARE = 0.25
"""A deeper queue is only insurance while the batches in flight take at most this share of the room there is."""


class Candidates:
    """Starts as everything sensible in a space and only shrinks, except that pinning may come back.

    Args:
        space: what may be tried.
        user: the user's settings.
        baseline: their burst, for the evidence in it.
        start_share: share of an epoch that starting workers takes (0: unknown).
    """

    def __init__(self, space: Space, user: Settings, baseline: Burst, start_share: float = 0.0) -> None:
        self.all = _candidates(space, user, start_share)
        self.pin_due = _pin_due(space, user, baseline)
        self._reserve: list[Settings] = []
        self._room_bytes = min((b for b in (space.shm_bytes, space.memory_bytes) if b is not None), default=0)
        self._batch_bytes = baseline.batch_bytes or space.batch_bytes

    def exclude(self, failed: Infeasible) -> None:
        """Drop what cannot run, and everything that needs at least as many workers and as much prefetch."""
        bad = failed.settings
        self.all = [
            c
            for c in self.all
            if c != bad
            and not (c.num_workers >= bad.num_workers > 0 and (c.prefetch_factor or 0) >= (bad.prefetch_factor or 0))
        ]

    def choose_pinning(self, pin: bool) -> None:
        """Keep only settings that pin (or do not); the others wait in reserve."""
        self._reserve = [c for c in self.all if c.pin_memory is not pin]
        self.all = [c for c in self.all if c.pin_memory is pin]

    def in_reserve(self, settings: Settings) -> bool:
        """Whether ``settings`` are left out only for their choice of pinning."""
        return settings in self._reserve

    def reopen_pinning(self) -> None:
        """Bring the reserve back."""
        self.all, self._reserve = self.all + self._reserve, []

    def drop_pinned(self) -> None:
        """Forget settings that pin, where others are left."""
        self.all = [c for c in self.all if not c.pin_memory] or self.all

    def within_reach(self, most_workers: int, *, tailed: bool) -> list[Settings]:
        """Return the candidates not too far beyond anything measured: waiting is flat only until it is not.

        Args:
            most_workers: the most workers measured so far.
            tailed: some batches are much slower than the rest; then a deeper queue is worth its memory.
        """
        most = max(LEAP_FROM, most_workers) * LEAP
        near = [c for c in self.all if c.num_workers <= most] or self.all
        enough: dict[Settings, int] = {}
        for c in near:
            if c.num_workers and (c.prefetch_factor or 0) <= self._insured(c.num_workers, tailed=tailed):
                like = c.replace(prefetch_factor=1)
                enough[like] = max(enough.get(like, 0), c.prefetch_factor or 0)
        return [
            c
            for c in near
            if c.num_workers == 0 or (c.prefetch_factor or 0) >= enough.get(c.replace(prefetch_factor=1), 0)
        ]

    def _insured(self, workers: int, *, tailed: bool) -> int:
        """Return how many batches ahead are worth their memory whatever has been measured so far."""
        affordable = math.inf
        if self._batch_bytes and self._room_bytes:
            affordable = INSURANCE_SHARE * self._room_bytes // (workers * self._batch_bytes) - 1
        return int(min(DEEP_TAILED if tailed else DEEP, affordable))

    def neighbours(self, one: Settings, other: Settings) -> bool:
        """Whether two settings are a step apart in workers, in prefetch, or in both."""
        ladder = sorted({c.num_workers for c in self.all} | {one.num_workers, other.num_workers})
        steps = abs(ladder.index(one.num_workers) - ladder.index(other.num_workers))
        doublings = abs(math.log2((one.prefetch_factor or 1) / (other.prefetch_factor or 1)))
        return steps <= 2 and doublings <= 1


def _candidates(space: Space, user: Settings, start_share: float) -> list[Settings]:
    """Return the combinations to choose from; persistence is decided by evidence, not searched."""
    allowed = space.choices.get("persistent_workers", (user.persistent_workers,))
    persistent = user.persistent_workers
    if start_share > PERSISTENT_WORTH and True in allowed:
        persistent = True
    if persistent not in allowed:
        persistent = allowed[0]
    found = {c.replace(persistent_workers=persistent) for c in space.candidates()}
    allowed_now = {c for c in found if space.allows(c)}
    # One batch ahead leaves a worker idle until it is taken; two cost next to nothing where they fit.
    ample = [c for c in allowed_now if c.prefetch_factor != 1 or c.replace(prefetch_factor=2) not in allowed_now]
    return sorted(ample, key=str)


def _pin_due(space: Space, user: Settings, baseline: Burst) -> bool:
    """Whether pinning is still to be tried: allowed, not the user's choice, and copies take measurable
    time."""
    if user.pin_memory or set(space.choices.get("pin_memory", ())) != {False, True}:
        return False
    copies = [stall.duration_s for stall in baseline.stalls if stall.kind is StallKind.COPY]
    return not copies or sum(copies) > COPY_WORTH * max(1e-9, baseline.end_s - baseline.start_s)
