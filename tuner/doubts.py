"""Which measured settings deserve another look before the search may end. Pure."""

from __future__ import annotations

from gputune.beliefs import KEEP, Beliefs
from gputune.probes.burst import Burst
from gputune.probes.protocol import Length
from gputune.probes.settings import Settings

AMPLE_ROOM = 1.15
"""Workers that could make this many times what the loop takes need no third look."""
SURE_BATCHES, SURE_S = 80, 12.0
"""A winner measured over so many batches, or for so long, needs no further look."""
TAILED_MORE = 1.5
"""So many times longer where some batches are much slower than the rest: they are few in any sample."""
LOOK_S = 8.0
"""Seconds of a further look at most."""
MOST_LOOKS = 2
"""Further looks at the same settings at most."""


class Doubts:
    """Weighs how much of what was measured may have been luck.

    Args:
        user: the user's settings; being no change, they need no confirmation.
        beliefs: everything measured so far.
    """

    def __init__(self, user: Settings, beliefs: Beliefs) -> None:
        self._user, self._beliefs = user, beliefs

    def next(self) -> tuple[Settings, str] | None:
        """Return settings to measure once more and why, or ``None`` when there is no doubt worth a burst."""
        return self._unlucky() or self._winner()

    def length(self, settings: Settings, ordinary: Length, samples_per_s: float) -> Length:
        """Return how long to look again: until the batches measured so far and now are enough together."""
        model = self._beliefs.model
        missing = SURE_BATCHES * self._more - _batches(self._beliefs.measured[settings])
        wanted_s = missing * model.samples_per_batch / max(1e-6, samples_per_s)
        seconds = min(LOOK_S, max(2.0, wanted_s))
        return Length(min_batches=1, min_s=seconds, max_s=max(seconds, ordinary.max_s), precision=ordinary.precision)

    def _unlucky(self) -> tuple[Settings, str] | None:
        """Return settings, the user's among them, whose noise leaves room to beat the best."""
        if self._beliefs.reached() or self._beliefs.fed():
            return None
        best, best_rate = self._beliefs.fastest()
        hopes = {
            settings: rate * (1 + self._beliefs.noise(settings))
            for settings, rate in self._beliefs.rates(list(self._beliefs.measured)).items()
            if settings != best and len(self._beliefs.measured[settings]) <= MOST_LOOKS
        }
        if not hopes or max(hopes.values()) < (1 + KEEP) * best_rate:
            return None
        return max(hopes, key=hopes.__getitem__), "may only have been unlucky"

    def _winner(self) -> tuple[Settings, str] | None:
        """Return the winner where what was measured of it may well have been luck."""
        best = self._beliefs.best()
        bursts = self._beliefs.measured[best]
        seconds = sum(sum(burst.period_s) for burst in bursts)
        sure = _batches(bursts) >= self._more * SURE_BATCHES or seconds >= self._more * SURE_S
        if best == self._user or len(bursts) > MOST_LOOKS or sure:
            return None
        roomy = self._beliefs.model.predict([best]).room[0] > AMPLE_ROOM and not self._beliefs.model.tailed
        return None if roomy and len(bursts) > 1 else (best, "the winner again, to be sure")

    @property
    def _more(self) -> float:
        return TAILED_MORE if self._beliefs.model.tailed else 1.0


def _batches(bursts: list[Burst]) -> int:
    return sum(len(burst.period_s) for burst in bursts)
