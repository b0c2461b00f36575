"""What to try next and when to stop: the model proposes, measured bursts decide. Pure but for the bursts it is given."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean

import msgspec
import numpy as np

from gputune import stats
from gputune.cost import Point, cost, pareto
from gputune.model import HEAVY, Model, Prediction
from gputune.probes.burst import Burst, Infeasible, StallKind
from gputune.probes.protocol import Length
from gputune.probes.settings import Settings
from gputune.space import Space

SLACK = {"fastest": 0.004, "balanced": 0.01, "cheapest": 0.05}
"""How far below the best rate a cheaper setting may be predicted and still be preferred, by ``prefer``."""
KEEP = 0.015
"""A measured setting within this of the best is as good; the cheapest of them is recommended."""
OPTIMISM = 0.6
"""Standard deviations of hope: a setting that could beat the best by :data:`KEEP` with so much luck is measured."""
WORTH_SAVING = 0.10
"""A cheaper setting is measured when it saves this share of the cost (and most of one worker)."""
DISTURBED_CORES = 0.10
"""Other processes taking this share of the cores more than in the calmest burst spoil a burst."""
CAUTION = 1.0
"""Standard deviations subtracted from a prediction before it may replace a measurement."""
FED = 0.03
"""Share of time waiting, beyond taking a ready batch, below which the loop itself sets the pace."""
AMPLE_ROOM = 1.15
"""Workers that could make this many times what the loop takes need no second look."""
CONFIRM_S = 4.0
LONGEST_S, LONGEST_TAIL_S = 4.0, 8.0
"""Longest burst, ordinarily and with heavy-tailed service times."""
DEEP = 4
"""Batches ahead a worker should keep when some batches are much slower than the rest."""
LEAP, LEAP_FROM = 3, 4
"""No more than this many times the workers measured so far (or this many workers) in one step."""
PIN_GAIN = 1.01
"""Pinning must speed up the loop by this factor to be worth considering."""
PIN_DOUBT = 0.9
"""A pinned burst below this share of its prediction makes us look at unpinned settings again."""
PIN_HURTS = 1.05
"""Fewer or as many workers without pinning faster by this factor: the pin thread is the bottleneck."""
MORE_WORKERS = 1.2
"""Before a plateau is declared, this many times the workers of the best must have been measured."""
HOPELESS = 0.5
"""The same on crowded cores, where what fewer workers would reach is hard to tell."""
CLEARLY_WORSE = 0.9
"""More workers predicted below this share of the best need no measurement."""
PERSISTENT_WORTH = 0.01
"""Worker start-up above this share of an epoch switches persistent_workers on."""
COPY_WORTH = 0.005
"""Copies below this share of the time make pinning pointless."""


class Proposal(msgspec.Struct, frozen=True, kw_only=True):
    """One setting to measure and why."""

    settings: Settings
    phase: str
    why: str
    predicted_samples_per_s: float | None = None
    length: Length = Length()
    abandon_below: float | None = None


class Planner:
    """Knows every burst so far, and the next one worth its time.

    Args:
        space: what may be tried.
        user: the user's settings, measured as ``baseline``.
        baseline: that burst.
        ceiling: the burst with free data, when there was one.
        effective_cpus: cores the container really gives.
        worker_bytes: memory of one worker (0: unknown).
        tolerance: distance from the ceiling that counts as reaching it.
        prefer: ``fastest``, ``balanced`` or ``cheapest``.
        start_share: share of an epoch that starting workers takes (0: unknown).
    """

    def __init__(
        self, space: Space, user: Settings, baseline: Burst, ceiling: Burst | None, *, effective_cpus: float,
        worker_bytes: int = 0, tolerance: float = 0.03, prefer: str = "balanced", start_share: float = 0.0,
    ) -> None:
        self.user, self.tolerance, self.slack = user, tolerance, SLACK[prefer]
        self.ceiling_rate = stats.samples_per_s(ceiling) if ceiling is not None else None
        self.model = Model(effective_cpus, ceiling)
        self.measured: dict[Settings, list[Burst]] = {}
        self.candidates = _candidates(space, user, start_share)
        self._bytes = (worker_bytes, baseline.batch_bytes or space.batch_bytes)
        self._calm_cores = math.inf
        self._reserve: list[Settings] = []
        self._pin_due = _pin_due(space, user, baseline)
        self.learn(baseline)

    # -- what has been learnt

    def learn(self, burst: Burst) -> None:
        """Add a burst."""
        disturbed = self.disturbed(burst)
        self.measured.setdefault(burst.settings, []).append(burst)
        self.model.add(burst, disturbed=disturbed)

    def disturbed(self, burst: Burst) -> bool:
        """Whether other processes took clearly more of the machine than in the calmest burst so far."""
        other = burst.host.other_cpu_cores
        if other is None:
            return False
        self._calm_cores = min(self._calm_cores, other)
        return other - self._calm_cores > max(0.3, DISTURBED_CORES * self.model.cores)

    def exclude(self, failed: Infeasible) -> None:
        """Drop what cannot run, and everything that needs at least as many workers and as much prefetch."""
        bad = failed.settings
        self.candidates = [
            c for c in self.candidates
            if c != bad and not (c.num_workers >= bad.num_workers > 0 and (c.prefetch_factor or 0) >= (bad.prefetch_factor or 0))
        ]

    def cost(self, settings: Settings) -> float:
        """Return the cost of settings in workers."""
        return cost(settings, *self._bytes)

    def rates(self, settings: Sequence[Settings]) -> dict[Settings, float]:
        """Return what is believed of measured settings: the measurement, smoothed by the model within its noise."""
        seen = {s: fmean(stats.sustained(b).value for b in self.measured[s]) for s in settings}
        if not self.model.knows_service or not seen:
            return seen
        noise = {
            s: max(0.02, 1.5 * fmean(map(self.model.noise, self.measured[s])) / math.sqrt(len(self.measured[s])))
            for s in settings
        }
        smoothed = self.model.predict(list(seen)).samples_per_s.tolist()
        return {
            s: min(max(value, rate * (1 - noise[s])), rate * (1 + noise[s]))
            for (s, rate), value in zip(seen.items(), smoothed, strict=True)
        }

    def best(self) -> Settings:
        """Return the cheapest measured setting as fast as the fastest; the user's own when nothing is clearly better."""
        rates = self.rates([s for s, bursts in self.measured.items() if not all(b.abandoned for b in bursts)])
        most = max(rates.values())
        keep = max(0.8 * KEEP, self.slack)
        return min((s for s, rate in rates.items() if rate >= (1 - keep) * most), key=self.cost)

    def front(self) -> list[Point]:
        """Return the measured settings worth having at some price."""
        rates = self.rates(list(self.measured))
        return pareto([Point(settings=s, samples_per_s=r, cost=self.cost(s)) for s, r in rates.items()])

    def reachable_samples_per_s(self) -> float:
        """Return the rate the best allowed settings are believed to reach."""
        known = self.rates(list(self.measured))
        if self.model.knows_service and self.candidates:
            return float(max(max(known.values()), self.model.predict(self.candidates).samples_per_s.max()))
        return max(known.values())

    # -- what to do next

    def pinning_probe(self) -> Settings | None:
        """Return settings to replay cached batches under once, to learn what pinning does to the loop; else ``None``."""
        due, self._pin_due = self._pin_due and self.model.ceiling is not None, False
        return self.user.replace(pin_memory=not self.user.pin_memory) if due else None

    def learn_pinning(self, ceiling: Burst) -> None:
        """Add the burst of :meth:`pinning_probe`; without a gain pinning is no candidate any more."""
        self.model.add_ceiling(ceiling)
        before = self.ceiling_rate or 0.0
        after = stats.samples_per_s(ceiling)
        self.ceiling_rate = max(before, after)
        # Pinned batches are also taken out of the queue by another thread.
        if self.model.knows_service and not self.user.pin_memory:
            loop = [self.model.loop_samples_per_s(self.user.replace(num_workers=1, pin_memory=p)) for p in (False, True)]
            before, after = loop
        pin = self.user.pin_memory is not (after > PIN_GAIN * before)
        self._reserve = [c for c in self.candidates if c.pin_memory is not pin]
        self.candidates = [c for c in self.candidates if c.pin_memory is pin]

    def surprised(self, proposal: Proposal, burst: Burst) -> None:
        """Bring the other choice of pinning back when a burst fell far short: its thread may be the bottleneck."""
        predicted = proposal.predicted_samples_per_s or 0.0
        if proposal.settings.pin_memory and stats.sustained(burst).value < PIN_DOUBT * predicted:
            self.candidates, self._reserve = self.candidates + self._reserve, []
        rates = self.rates(list(self.measured))
        mine = proposal.settings
        if mine.pin_memory and any(
            not s.pin_memory and s.num_workers <= mine.num_workers and rate > PIN_HURTS * rates[mine]
            for s, rate in rates.items()
        ):
            self.candidates = [c for c in self.candidates if not c.pin_memory] or self.candidates

    def next(self) -> Proposal | None:
        """Return the next setting worth measuring, or ``None`` when no more can be gained."""
        if not self.model.knows_service or not self.candidates:
            return None
        pool = self._within_reach()
        expected = self.model.predict(pool)
        choice = (
            self._cheapest_sufficient(pool, expected) or self._both_sides(pool, expected) or self._challenger(pool, expected)
        )
        if choice is not None:
            return self._propose(pool[choice[0]], expected, *choice)
        return self._confirmation()

    def _confirmation(self) -> Proposal | None:
        """Return a second, longer burst of the winner where one burst may well have been luck."""
        best = self.best()
        if best == self.user or len(self.measured[best]) > 1:
            return None
        expected = self.model.predict([best])
        if expected.room[0] > AMPLE_ROOM and not self.model.tailed:
            return None
        proposal = self._propose(best, expected, 0, "the winner again, to be sure")
        longer = msgspec.structs.replace(proposal.length, min_s=CONFIRM_S, max_s=max(CONFIRM_S, proposal.length.max_s))
        return msgspec.structs.replace(proposal, length=longer, abandon_below=None)

    def _within_reach(self) -> list[Settings]:
        """Return the candidates not too far beyond anything measured: waiting is flat only until it is not."""
        most = max(LEAP_FROM, *(s.num_workers for s in self.measured)) * LEAP
        near = [c for c in self.candidates if c.num_workers <= most] or self.candidates
        if not self.model.tailed:
            return near
        # With slow samples in order, a deep queue is the cheapest insurance.
        deep = [c for c in near if c.num_workers == 0 or (c.prefetch_factor or 0) >= DEEP]
        return deep if any(c.num_workers for c in deep) else near

    def _fed(self) -> bool:
        """Whether the loop hardly waited under the best settings: more workers cannot help then."""
        rates = self.rates(list(self.measured))
        best = max(rates, key=rates.__getitem__)
        return best.num_workers > 0 and all(self.model.net_wait_share(b) < FED for b in self.measured[best])

    def _cheapest_sufficient(self, pool: list[Settings], expected: Prediction) -> tuple[int, str] | None:
        """Return the cheapest candidate believed to be starvation-free, unless what is measured is as good.

        A prediction far from any measurement is taken with caution: half its spread is subtracted.
        """
        known = self.rates(list(self.measured))
        believed = expected.samples_per_s * np.exp(-CAUTION * expected.spread)
        most = max(float(believed.max()), max(known.values()))
        prices = np.array([self.cost(c) for c in pool])
        new = np.array([c not in self.measured for c in pool])
        enough = [s for s, rate in known.items() if rate >= (1 - self.slack - 0.005) * most]
        paid = min(map(self.cost, enough), default=math.inf)
        sufficient = new & (believed >= (1 - self.slack) * most)
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

        The spread grows with past errors of prediction: a model that has been right ends the search, one that has
        been wrong is overruled by measuring the neighbours of the best until none improves.
        """
        if self._fed():
            return None
        rates = self.rates(list(self.measured))
        best = max(rates, key=rates.__getitem__)
        limit = np.array([self.model.loop_samples_per_s(c) for c in pool])
        hope = np.minimum(expected.samples_per_s * np.exp(OPTIMISM * expected.spread), limit)
        hope[[c in self.measured or not self._neighbours(c, best) for c in pool]] = 0.0
        if hope.max() < (1 + KEEP) * rates[best]:
            return None
        near = np.flatnonzero(hope >= 0.995 * hope.max())
        return min(near.tolist(), key=lambda i: self.cost(pool[i])), "neighbour of the best, may be faster"

    def _both_sides(self, pool: list[Settings], expected: Prediction) -> tuple[int, str] | None:
        """Return one step up or down in workers from the best, where a plateau below the ceiling was only predicted."""
        if self.reached() or self._fed():
            return None
        rates = self.rates(list(self.measured))
        best = max(rates, key=rates.__getitem__)
        crowded = any(self.model.crowded(b) for b in self.measured[best])
        more, fewer = MORE_WORKERS * max(1, best.num_workers), 0.6 * best.num_workers if crowded else 0.9 * best.num_workers
        for side, beyond, worse in (
            ("fewer", lambda s: s.num_workers <= fewer, HOPELESS if crowded else CLEARLY_WORSE),
            ("more", lambda s: s.num_workers >= more, CLEARLY_WORSE),
        ):
            if best.num_workers == 0 and side == "fewer" or any(beyond(s) for s in self.measured):
                continue
            new = [i for i, c in enumerate(pool) if beyond(c) and _same_but_workers(c, best)]
            if new and max(expected.samples_per_s[new]) >= worse * rates[best]:
                index = min(new, key=lambda i: (abs(pool[i].num_workers - best.num_workers), pool[i].pin_memory != best.pin_memory))
                return index, f"{side} workers, to be sure of the plateau"
        return None

    def _neighbours(self, one: Settings, other: Settings) -> bool:
        """Whether two settings are a step apart in workers, in prefetch, or in both."""
        ladder = sorted({c.num_workers for c in self.candidates} | {one.num_workers, other.num_workers})
        steps = abs(ladder.index(one.num_workers) - ladder.index(other.num_workers))
        doublings = abs(math.log2((one.prefetch_factor or 1) / (other.prefetch_factor or 1)))
        return steps <= 2 and doublings <= 1

    def _propose(self, settings: Settings, expected: Prediction, index: int, why: str) -> Proposal:
        rates = self.rates(list(self.measured))
        best_rate = max(rates.values())
        cheaper = why.endswith("cheaper")
        predicted = float(expected.samples_per_s[index])
        return Proposal(
            settings=settings, phase="shrink" if cheaper else "search", why=why, predicted_samples_per_s=predicted,
            length=self.length(settings, predicted), abandon_below=0.8 * best_rate,
        )

    def length(self, settings: Settings, samples_per_s: float) -> Length:
        """Return how long to measure: until the first stock is used up, several rounds, more when times vary."""
        variation, workers = self.model.variation, settings.num_workers
        stock = workers * ((settings.prefetch_factor or 0) + 1)
        wanted = max(16.0, 2 * workers, (variation / 0.025) ** 2)
        batches_per_s = max(1e-6, samples_per_s / self.model.samples_per_batch)
        tailed = self.model.tailed
        longest_s = LONGEST_TAIL_S if variation > HEAVY or tailed else LONGEST_S
        max_s = min(max(2.0, (stock + wanted) / batches_per_s), longest_s)
        # A burst shorter than three service times sees less than three batches of each worker.
        return Length(
            min_batches=min(stock + 16, int(max_s * batches_per_s) + 1),
            min_s=min(LONGEST_S if tailed else 1.0, max_s),
            max_s=min(10.0, max(max_s, 3 * self.model.service_s)), precision=0.015,
        )

    # -- why to stop

    def reached(self) -> bool:
        """Whether a measured setting is as good as free data."""
        if self.ceiling_rate is None:
            return False
        return max(self.rates(list(self.measured)).values()) >= (1 - self.tolerance) * self.ceiling_rate

    def verdict(self) -> str:
        """Return why nothing more can be gained, one sentence."""
        best = max(self.rates(list(self.measured)).values())
        if self.ceiling_rate is None:
            return f"no setting is predicted to beat {best:.4g} samples/s"
        share = best / self.ceiling_rate
        if self.reached():
            return f"target reached: {min(share, 1.0):.0%} of the speed with free data"
        return f"plateau: best is {share:.0%} of the ceiling, limited by {self.model.limit(self.best())}"


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


def _same_but_workers(one: Settings, other: Settings) -> bool:
    return one.prefetch_factor in (None, other.prefetch_factor or 2) and one.in_order == other.in_order


def _pin_due(space: Space, user: Settings, baseline: Burst) -> bool:
    """Whether pinning is still to be tried: allowed, not the user's choice, and copies take measurable time."""
    if user.pin_memory or set(space.choices.get("pin_memory", ())) != {False, True}:
        return False
    copies = [stall.duration_s for stall in baseline.stalls if stall.kind is StallKind.COPY]
    return not copies or sum(copies) > COPY_WORTH * max(1e-9, baseline.end_s - baseline.start_s)
