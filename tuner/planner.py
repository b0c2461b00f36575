"""What to measure next: the model proposes, measured bursts have the last word. Pure."""

from __future__ import annotations

import math

import msgspec
import numpy as np

from gputune import stats
from gputune.beliefs import KEEP, Beliefs
from gputune.candidates import Candidates
from gputune.corrections import Floats
from gputune.doubts import AMPLE_ROOM, Doubts
from gputune.model import Prediction
from gputune.probes.burst import Burst
from gputune.probes.settings import Settings
from gputune.proposal import Proposal, length_of

OPTIMISM = 0.6
"""Standard deviations of hope: a setting that could beat the best by :data:`KEEP` with so much luck is
measured."""
ALONE_HOPE = 1.15
"""The same for the training thread, as a factor: what fetching takes beside nobody is known from beside others."""
WORTH_SAVING = 0.10
"""A cheaper setting is measured when it saves this share of the cost (and most of one worker)."""
CAUTION = 1.0
"""Standard deviations subtracted from a prediction before it may replace a measurement."""
PIN_GAIN = 1.01
"""Pinning must speed up the loop by this factor to be worth considering."""
PIN_DOUBT = 0.9
"""A pinned burst below this share of its prediction makes us look at unpinned settings again."""
PIN_HURTS = 1.05
"""Fewer or as many workers without pinning faster by this factor: the pin thread is the bottleneck."""
MORE_WORKERS = 1.2
"""Before a plateau is declared, this many times the workers of the best must have been measured."""
FEW = 4
"""Up to so many workers, this means one fewer and one more."""
FEW_WORSE = 0.75
"""Of these, one predicted below this share of the best needs no measurement."""
HOPELESS = 0.5
"""The same on crowded cores, where what fewer workers would reach is hard to tell."""
CLEARLY_WORSE = 0.9
"""More workers predicted below this share of the best need no measurement."""


class Planner:
    """Turns beliefs into the next burst worth its time."""

    def __init__(self, user: Settings, beliefs: Beliefs, candidates: Candidates) -> None:
        self.user, self.beliefs, self.candidates = user, beliefs, candidates
        self.model, self.doubts = beliefs.model, Doubts(user, beliefs)

    def pinning_probe(self) -> Settings | None:
        """Return settings to replay cached batches under once, to learn what pinning does to the loop; else
        ``None``."""
        due, self.candidates.pin_due = self.candidates.pin_due and self.model.ceiling is not None, False
        return self.user.replace(pin_memory=not self.user.pin_memory) if due else None

    def learn_pinning(self, ceiling: Burst) -> None:
        """Add the burst of :meth:`pinning_probe`; without a gain pinning is no candidate any more."""
        self.model.add_ceiling(ceiling)
        before = self.beliefs.ceiling_rate or 0.0
        after = stats.samples_per_s(ceiling)
        self.beliefs.ceiling_rate = max(before, after)
        # Pinned batches are also taken out of the queue by another thread.
        if self.model.knows_service and not self.user.pin_memory:
            loop = [
                self.model.loop_samples_per_s(self.user.replace(num_workers=1, pin_memory=p)) for p in (False, True)
            ]
            before, after = loop
        pin = self.user.pin_memory is not (after > PIN_GAIN * before)
        self.candidates.choose_pinning(pin)

    def surprised(self, proposal: Proposal) -> None:
        """Bring the other choice of pinning back when its burst fell far short: its thread may be the
        bottleneck."""
        predicted = proposal.predicted_samples_per_s or 0.0
        rates, mine = self.beliefs.rates(list(self.beliefs.measured)), proposal.settings
        if mine.pin_memory and rates[mine] < PIN_DOUBT * predicted:
            self.candidates.reopen_pinning()
        if mine.pin_memory and any(
            not s.pin_memory and s.num_workers <= mine.num_workers and rate > PIN_HURTS * rates[mine]
            for s, rate in rates.items()
        ):
            self.candidates.drop_pinned()

    def next(self) -> Proposal | None:
        """Return the next setting worth measuring, or ``None`` when no more can be gained."""
        if not self.model.knows_service or not self.candidates.all:
            return None
        most = max(s.num_workers for s in self.beliefs.measured)
        pool = self.candidates.within_reach(most, tailed=self.model.tailed)
        expected = self.model.predict(pool)
        choice = (
            self._cheapest_sufficient(pool, expected)
            or self._both_sides(pool, expected)
            or self._challenger(pool, expected)
        )
        if choice is not None:
            return self._propose(pool[choice[0]], expected, *choice)
        return self._other_pinning() or self._second_look()

    def _second_look(self) -> Proposal | None:
        doubt = self.doubts.next()
        if doubt is None:
            return None
        settings, why = doubt
        expected = self.model.predict([settings])
        proposal = self._propose(settings, expected, 0, why)
        length = self.doubts.length(settings, proposal.length, float(expected.samples_per_s[0]))
        return msgspec.structs.replace(proposal, length=length, abandon_below=None)

    def _other_pinning(self) -> Proposal | None:
        """Return the best with pinning the other way round where workers have room and the loop is still slower than
        with free data."""
        best = self.beliefs.best()
        other = best.replace(pin_memory=not best.pin_memory)
        if best.num_workers == 0 or self.beliefs.reached() or not self.candidates.in_reserve(other):
            return None
        expected = self.model.predict([best, other])
        if expected.room[0] <= AMPLE_ROOM or other in self.beliefs.measured:
            return None
        return self._propose(other, expected, 1, "pinning the other way round: the loop is slower than it could be")

    def _cheapest_sufficient(self, pool: list[Settings], expected: Prediction) -> tuple[int, str] | None:
        """Return the cheapest candidate believed to be starvation-free, unless what is measured is as good.

        A prediction far from any measurement is taken with caution: its spread is subtracted.
        """
        known = self.beliefs.rates(list(self.beliefs.measured))
        believed = expected.samples_per_s * np.exp(-CAUTION * expected.spread)
        most = max(float(believed.max()), max(known.values()))
        prices = np.array([self.beliefs.cost(c) for c in pool])
        new = np.array([not self.beliefs.settled(c) for c in pool])
        enough = [s for s, rate in known.items() if rate >= (1 - self.beliefs.slack - 0.005) * most]
        paid = min(map(self.beliefs.cost, enough), default=math.inf)
        sufficient = new & (believed >= (1 - self.beliefs.slack) * most)
        index = int(np.where(sufficient, prices, np.inf).argmin())
        if not sufficient[index] or prices[index] >= paid:
            return None
        if not enough:
            return index, f"cheapest predicted to reach {most:.4g} samples/s"
        if paid - prices[index] < max(0.7, WORTH_SAVING * paid):
            return None
        return index, "predicted as fast and cheaper"

    def _challenger(self, pool: list[Settings], expected: Prediction) -> tuple[int, str] | None:
        """Return the neighbour of the best measured setting most likely to beat it clearly, if any could.

        The spread grows with past errors of prediction: a model that has been right ends the search, one that
        has been wrong is overruled by measuring the neighbours of the best until none improves.
        """
        if self.beliefs.fed():
            return None
        best, best_rate = self.beliefs.fastest()
        hope = self._hope(pool, expected)
        hope[[self.beliefs.settled(c) or not self.candidates.neighbours(c, best) for c in pool]] = 0.0
        if hope.max() < (1 + KEEP) * best_rate:
            return None
        near = np.flatnonzero(hope >= 0.995 * hope.max())
        return min(near.tolist(), key=lambda i: self.beliefs.cost(pool[i])), "neighbour of the best, may be faster"

    def _hope(self, pool: list[Settings], expected: Prediction) -> Floats:
        """Return what each candidate reaches with some luck, at most what the loop takes."""
        limit = np.array([self.model.loop_samples_per_s(c) for c in pool])
        hope = np.minimum(expected.samples_per_s * np.exp(OPTIMISM * expected.spread), limit)
        if not any(s.num_workers == 0 for s in self.beliefs.measured):
            alone = ALONE_HOPE * self.model.alone_at_best_samples_per_s()
            hope = np.where([c.num_workers == 0 for c in pool], np.maximum(hope, alone), hope)
        return np.asarray(hope, dtype=np.float64)

    def _both_sides(self, pool: list[Settings], expected: Prediction) -> tuple[int, str] | None:
        """Return one step up or down in workers from the best, where a plateau below the ceiling was only
        predicted."""
        if self.beliefs.reached() or self.beliefs.fed():
            return None
        best, best_rate = self.beliefs.fastest()
        crowded = any(self.model.crowded(b) for b in self.beliefs.measured[best])
        fewer = range(int((0.6 if crowded else 0.9) * best.num_workers) + 1) if best.num_workers else range(0)
        more = range(math.ceil(MORE_WORKERS * max(1, best.num_workers)), 1025)
        if best.num_workers <= FEW:
            # A step is a large part of so few workers: the very next ones must be known.
            fewer, more = (
                range(max(0, best.num_workers - 1), best.num_workers),
                range(best.num_workers + 1, best.num_workers + 2),
            )
        hope = self._hope(pool, expected)
        clear = FEW_WORSE if best.num_workers <= FEW else CLEARLY_WORSE
        for side, workers, worse in (("fewer", fewer, HOPELESS if crowded else clear), ("more", more, clear)):
            if not workers or any(s.num_workers in workers for s in self.beliefs.measured):
                continue
            new = [i for i, c in enumerate(pool) if c.num_workers in workers and c.in_order == best.in_order]
            if new and max(hope[new]) >= worse * best_rate:
                steps = {i: _steps(pool[i], best) for i in new}
                return min(new, key=steps.__getitem__), f"{side} workers, to be sure of the plateau"
        return None

    def _propose(self, settings: Settings, expected: Prediction, index: int, why: str) -> Proposal:
        _, best_rate = self.beliefs.fastest()
        cheaper = why.endswith("cheaper")
        predicted = float(expected.samples_per_s[index])
        return Proposal(
            settings=settings,
            phase="shrink" if cheaper else "search",
            why=why,
            predicted_samples_per_s=predicted,
            length=length_of(self.model, settings, predicted),
            abandon_below=0.8 * best_rate,
        )


def _steps(one: Settings, other: Settings) -> tuple[int, bool, int]:
    """Return how far apart two settings are, workers first."""
    deeper = abs((one.prefetch_factor or 0) - (other.prefetch_factor or 0))
    return abs(one.num_workers - other.num_workers), one.pin_memory != other.pin_memory, deeper
