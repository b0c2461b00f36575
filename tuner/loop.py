"""How long the training loop itself takes for a batch, as far as bursts show it. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean, median

import numpy as np

from gputune.corrections import Contention, Floats
from gputune.probes.burst import Burst
from gputune.probes.settings import Settings
from gputune.reading import Seen

RECEIVE_S = 5e-4
"""Prior of the main-thread time to take a finished batch (a handle to shared memory, not its bytes)."""
RECEIVE_PINNED = 0.4
"""Share of it left when the pin thread has already taken the batch out of the queue."""
STARVED = 0.05
"""Share of time waiting for data above which a burst says nothing about the loop's own speed: queued GPU work
hides in the wait."""


class Loop:
    """The loop's own seconds per batch: pinned or not, alone or beside busy workers.

    Args:
        seen: what the bursts so far taught; at least one.
        cores: cores the container really gives.
        ceiling: the burst with free data, when there was one.
        other_ceiling: a second one, with pinning the other way round.
    """

    def __init__(self, seen: Sequence[Seen], cores: float, ceiling: Burst | None, other_ceiling: Burst | None) -> None:
        self._seen, self._ceiling, self._other_ceiling = seen, ceiling, other_ceiling
        self.receive_s = self._receiving()
        """Main-thread seconds to take a ready batch, unpinned and pinned."""
        self.copying = self._copying_factors()
        """What pinning (or not) does to the loop's time, relative to the ceiling's choice."""
        self._line = Contention(cores, sharing=(0.5, 0.6), crowding=(0.02, 0.05))
        self._line.suppose(self.alone_s(), 0.03)
        for s in seen:
            if s.burst.settings.num_workers and self._shows_loop(s):
                factor = self.copying[s.burst.settings.pin_memory]
                self._line.learn(s.running, s.others - 1, s.busy_s / factor, 0.02)

    def beside_s(self, running: Floats, others: float) -> Floats:
        """Return seconds per batch, receiving not included, beside ``running`` computing workers."""
        return self._line.time_s(running, others)

    def fed_s(self, settings: Settings) -> float:
        """Return seconds per batch were every batch ready when asked for."""
        busy_s = float(self._line.time_s(np.array(0.0), 0.0)) * self.copying[settings.pin_memory]
        return busy_s + (self.receive_s[settings.pin_memory] if settings.num_workers else 0.0)

    def net_wait_share(self, burst: Burst) -> float:
        """Return the share of a burst spent waiting for data that was not ready."""
        waited = sum(max(0.0, wait - self.receive_s[burst.settings.pin_memory]) for wait in burst.wait_s)
        return waited / sum(burst.period_s) if burst.period_s else 0.0

    def _shows_loop(self, seen: Seen) -> bool:
        """Whether a burst's time outside ``next()`` is the loop's own speed."""
        return self.net_wait_share(seen.burst) < STARVED or seen.busy_s > self._reference_s()

    def _reference_s(self) -> float:
        return fmean(self._ceiling.period_s) if self._ceiling is not None else math.inf

    def alone_s(self) -> float:
        """Seconds of the loop's own work per step with idle workers, pageable or pinned as the ceiling
        was."""
        if self._ceiling is not None:
            return fmean(self._ceiling.period_s)
        calm = min(self._seen, key=lambda s: s.running)
        return calm.busy_s / self.copying[calm.burst.settings.pin_memory]

    def _copying_factors(self) -> dict[bool, float]:
        """Return what pinning does to the loop's own time, relative to the reference burst's choice."""
        reference = (self._ceiling or self._seen[0].burst).settings.pin_memory
        if self._ceiling is not None and self._other_ceiling is not None and self._other_ceiling.period_s:
            return {
                reference: 1.0,
                not reference: fmean(self._other_ceiling.period_s) / fmean(self._ceiling.period_s),
            }
        fed = [s for s in self._seen if s.burst.settings.num_workers and self._shows_loop(s)]
        mine = [s.busy_s for s in fed if s.burst.settings.pin_memory is reference]
        theirs = [s.busy_s for s in fed if s.burst.settings.pin_memory is not reference]
        other = min(1.2, max(0.2, min(theirs) / min(mine))) if mine and theirs else 1.0
        return {reference: 1.0, not reference: other}

    def _receiving(self) -> dict[bool, float]:
        """Return the time ``next()`` takes when a batch lies ready, unpinned and pinned."""
        known: dict[bool, float] = {}
        for s in self._seen:
            if s.burst.settings.num_workers == 0:
                continue
            at_hand = [w for w, ready in zip(s.burst.wait_s, s.burst.ready, strict=False) if ready >= 1]
            shortest = median(at_hand) if len(at_hand) >= 4 else min(RECEIVE_S, *s.burst.wait_s)
            pin = s.burst.settings.pin_memory
            known[pin] = min(shortest, known.get(pin, math.inf))
        plain = known.get(False, known[True] / RECEIVE_PINNED if True in known else RECEIVE_S)
        return {False: plain, True: known.get(True, RECEIVE_PINNED * plain)}
