"""What is believed of everything measured so far, and what that says about the best settings. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean

from gputune import stats
from gputune.cost import Point, cost, pareto
from gputune.model import Model
from gputune.probes.burst import Burst
from gputune.probes.settings import Settings

SLACK = {"fastest": 0.004, "balanced": 0.01, "cheapest": 0.05}
"""How far below the best rate a cheaper setting may be predicted and still be preferred, by ``prefer``."""
KEEP = 0.015
"""A measured setting within this of the best is as good; the cheapest of them is recommended."""
DISTURBED_CORES = 0.10
"""Other processes taking this share of the cores more than in the calmest burst spoil a burst."""
NOISES = 1.5
"""The model may move a measurement by this many times its own noise."""
THIN, THIN_LOOKS = 8, 3
"""Settings measured for fewer batches than this may be measured again, up to so many times."""
FED = 0.03
"""Share of time waiting, beyond taking a ready batch, below which the loop itself sets the pace."""


class Beliefs:
    """Every burst so far, and the model that learns from them.

    Args:
        baseline: the burst under the user's settings.
        ceiling: the burst with free data, when there was one.
        effective_cpus: cores the container really gives.
        worker_bytes: memory of one worker (0: unknown).
        batch_bytes: memory of one batch (0: unknown).
        tolerance: distance from the ceiling that counts as reaching it.
        prefer: ``fastest``, ``balanced`` or ``cheapest``.
    """

    def __init__(
        self,
        baseline: Burst,
        ceiling: Burst | None,
        *,
        effective_cpus: float,
        worker_bytes: int = 0,
        batch_bytes: int = 0,
        tolerance: float = 0.03,
        prefer: str = "balanced",
    ) -> None:
        self.tolerance, self.slack = tolerance, SLACK[prefer]
        self.ceiling_rate = stats.samples_per_s(ceiling) if ceiling is not None else None
        self.model = Model(effective_cpus, ceiling)
        self.measured: dict[Settings, list[Burst]] = {}
        self._bytes = (worker_bytes, baseline.batch_bytes or batch_bytes)
        self._calm_cores = math.inf
        self._believed: dict[Settings, float] = {}
        self._believed_at = (-1, 0)
        self.learn(baseline)

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

    def cost(self, settings: Settings) -> float:
        """Return the cost of settings in workers."""
        return cost(settings, *self._bytes)

    def rates(self, settings: Sequence[Settings]) -> dict[Settings, float]:
        """Return what is believed of measured settings: the measurement, smoothed by the model within its
        noise."""
        version = self.model.version, sum(map(len, self.measured.values()))
        if version != self._believed_at:
            self._believed, self._believed_at = self._believe(), version
        return {s: self._believed[s] for s in settings}

    def _believe(self) -> dict[Settings, float]:
        seen = {s: fmean(map(self._rate, bursts)) for s, bursts in self.measured.items()}
        if not self.model.knows_service:
            return seen
        noise = {s: max(0.02, NOISES * self.noise(s)) for s in self.measured}
        smoothed = self.model.predict(list(seen)).samples_per_s.tolist()
        return {
            s: min(max(value, rate * (1 - noise[s])), rate * (1 + noise[s]))
            for (s, rate), value in zip(seen.items(), smoothed, strict=True)
        }

    def noise(self, settings: Settings) -> float:
        """Return the standard error of what was measured of ``settings`` (relative)."""
        bursts = self.measured[settings]
        return fmean(map(self.model.noise, bursts)) / math.sqrt(len(bursts))

    def _rate(self, burst: Burst) -> float:
        """Return the rate a burst stands for."""
        return self.model.steady_samples_per_s(burst) if self.model.knows(burst) else stats.samples_per_s(burst)

    def best(self) -> Settings:
        """Return the cheapest measured setting as fast as the fastest; the user's own when nothing is
        clearly better."""
        rates = self.rates([s for s, bursts in self.measured.items() if not all(b.abandoned for b in bursts)])
        most = max(rates.values())
        keep = max(0.8 * KEEP, self.slack)
        return min((s for s, rate in rates.items() if rate >= (1 - keep) * most), key=self.cost)

    def fastest(self) -> tuple[Settings, float]:
        """Return the fastest measured setting and its believed rate."""
        rates = self.rates(list(self.measured))
        best = max(rates, key=rates.__getitem__)
        return best, rates[best]

    def front(self) -> list[Point]:
        """Return the measured settings worth having at some price."""
        rates = self.rates(list(self.measured))
        return pareto([Point(settings=s, samples_per_s=r, cost=self.cost(s)) for s, r in rates.items()])

    def settled(self, settings: Settings) -> bool:
        """Whether ``settings`` have been measured for more than a few batches: one slow batch may fill a burst."""
        bursts = self.measured.get(settings, ())
        return sum(len(b.period_s) for b in bursts) >= THIN or len(bursts) >= THIN_LOOKS

    def fed(self) -> bool:
        """Whether the loop hardly waited under the best settings: more workers cannot help then."""
        best, rate = self.fastest()
        if best.num_workers == 0 or rate < (1 - FED) * self.model.loop_samples_per_s(best):
            return False
        return all(self.model.loop.net_wait_share(b) < FED for b in self.measured[best])

    def reached(self) -> bool:
        """Whether a measured setting is as good as free data."""
        if self.ceiling_rate is None:
            return False
        return self.fastest()[1] >= (1 - self.tolerance) * self.ceiling_rate

    def reachable_samples_per_s(self, candidates: Sequence[Settings]) -> float:
        """Return the rate the best of ``candidates`` is believed to reach."""
        _, best = self.fastest()
        if not self.model.knows_service or not candidates:
            return best
        return max(best, float(self.model.predict(candidates).samples_per_s.max()))

    def verdict(self) -> str:
        """Return why nothing more can be gained, one sentence."""
        _, best = self.fastest()
        if self.ceiling_rate is None:
            return f"no setting is predicted to beat {best:.4g} samples/s"
        share = best / self.ceiling_rate
        if self.reached():
            return f"target reached: {min(share, 1.0):.0%} of the speed with free data"
        return f"plateau: best is {share:.0%} of the ceiling, limited by {self.model.limit(self.best())}"
