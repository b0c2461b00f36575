"""The ask-and-tell loop: one Optuna study whose first trial is the user's settings, measured on a bench."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import optuna
from optuna.trial import TrialState

from gputune.beliefs import Beliefs
from gputune.bench import Bench
from gputune.candidates import Candidates
from gputune.cost import Point
from gputune.offloading import PHASE, Offloading
from gputune.planner import Planner
from gputune.probes.burst import Burst, Infeasible, Purpose
from gputune.probes.protocol import Length, LoaderSite
from gputune.probes.settings import Settings
from gputune.proposal import Proposal
from gputune.record import Trial
from gputune.sampler import ReplaySampler, distributions, parameters, suggest
from gputune.space import Space
from gputune.study import Store, Study

SHORTEST_BURST_S = 1.5
"""With less than this left before the deadline no further burst is begun."""
PROBE_LENGTH = Length(max_s=2.0, precision=0.01)
FALLBACK_TRIALS = 10
"""Trials without a model before the search is called off."""
IDLE_ASKS = 20
"""Proposals of the fallback in a row that were known or did not fit before it is called exhausted."""


class SearchContext(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the search needs to know."""

    user: Settings
    baseline: Burst
    ceiling: Burst | None = None
    space: Space
    effective_cpus: float
    worker_bytes: int = 0
    """Memory of one worker (0: unknown)."""
    deadline_s: float
    """On the clock of ``bench.now_s()``."""
    seed: int = 0
    store: Store = Store()
    """Where the study is kept."""
    known: list[Trial] = []
    """Trials of an earlier search of this run."""
    max_trials: int = 16
    tolerance: float = 0.03
    prefer: str = "balanced"
    epoch_start_s: float | None = None
    """Measured seconds from the end of one epoch to the first batch of the next."""
    epoch_s: float | None = None
    site: LoaderSite | None = None
    """The training loader."""
    tune_loader: bool = True
    """False where the loader keeps up and only checkpoints or log calls are worth moving."""


class SearchResult(msgspec.Struct, frozen=True, kw_only=True):
    """What the search found."""

    trials: list[Trial]
    """In order, without the user's own settings (trial 0 of the study)."""
    best: Settings | None
    """The cheapest measured settings as fast as the fastest; may be the user's own."""
    stopped_because: str
    reachable_samples_per_s: float
    """What the best allowed settings are believed to reach."""
    pareto: list[Point]
    pinned_ceiling: Burst | None = None
    """The loop with free data and pinning the other way round, where that was tried."""


Listener = Callable[[Proposal | Trial], None]
"""Told of each plan before it is measured and of each trial once it is complete."""


def search(bench: Bench, context: SearchContext, listener: Listener | None = None) -> SearchResult:
    """Find the cheapest settings that keep the loop fed.

    Raises:
        gputune.errors.GputuneError: the bench lost its target.
    """
    return _Search(bench, context, listener or (lambda _: None)).run()


class _Search:
    def __init__(self, bench: Bench, context: SearchContext, listener: Listener) -> None:
        self.bench, self.context, self.tell = bench, context, listener
        start_share = (context.epoch_start_s or 0.0) / context.epoch_s if context.epoch_s else 0.0
        self.beliefs = Beliefs(
            context.baseline,
            context.ceiling,
            effective_cpus=context.effective_cpus,
            worker_bytes=context.worker_bytes,
            batch_bytes=context.space.batch_bytes,
            tolerance=context.tolerance,
            prefer=context.prefer,
        )
        self.candidates = Candidates(context.space, context.user, context.baseline, start_share)
        self.planner = Planner(context.user, self.beliefs, self.candidates)
        self.offloading = Offloading(context.baseline, context.site, context.space.choices)
        self.sampler = ReplaySampler(context.space, context.seed)
        self.study = Study(context.store, self.sampler)
        self.trials: list[Trial] = []
        self.pinned: Burst | None = None
        if not self.study.trials:
            known = distributions(context.space)
            value, why = self.offloading.value(context.baseline), "the user's own settings"
            self.study.add(parameters(context.user, known), dict(known), value, why=why, phase="baseline")
        for trial in context.known:
            self._recall(trial)

    def run(self) -> SearchResult:
        stopped = "" if self.context.tune_loader else "the loader keeps up"
        if not stopped:
            self._probe_pinning()
        while not stopped:
            stopped = self._out_of_means() or self._round()
        best = self._offload()
        return SearchResult(
            trials=self.trials,
            best=best,
            stopped_because=stopped,
            reachable_samples_per_s=self.beliefs.reachable_samples_per_s(self.candidates.all),
            pareto=self.beliefs.front(),
            pinned_ceiling=self.pinned,
        )

    def _offload(self) -> Settings:
        """Try what takes checkpoints and log calls off the training thread, on top of the best of the loader."""
        self.offloading.begin(self.beliefs.best())
        while not self._out_of_means() and (proposal := self.offloading.next()) is not None:
            self.sampler.offer(proposal.settings)
            self._measure(self.study.ask(), proposal)
        return self.offloading.best

    def _probe_pinning(self) -> None:
        """Replay cached batches once with pinning the other way round: its gain shows without any worker's
        noise."""
        probe = self.planner.pinning_probe()
        if probe is None or self._out_of_means():
            return
        result = self.bench.measure(probe, Purpose.CEILING, PROBE_LENGTH, replay=True)
        if isinstance(result, Burst) and self.beliefs.disturbed(result):
            result = self.bench.measure(probe, Purpose.CEILING, PROBE_LENGTH, replay=True)
        if isinstance(result, Burst):
            self.pinned = result
            self.planner.learn_pinning(result)

    def _out_of_means(self) -> str:
        if len(self.trials) >= self.context.max_trials:
            return f"trial limit: {len(self.trials)} trials"
        if self.bench.now_s() + SHORTEST_BURST_S > self.context.deadline_s:
            return f"time budget used up after {len(self.trials)} trials"
        return ""

    def _round(self) -> str:
        """Run one trial; return why the search is over, or an empty string."""
        for news in self.study.news():
            if _measured(news) not in map(_measured, self.trials):
                self._recall(news)
                self.tell(news)
        proposal = self._next()
        if proposal is None and self.beliefs.model.knows_service:
            return self.beliefs.verdict()
        if proposal is None:
            return self._without_model()
        self.sampler.offer(proposal.settings)
        trial = self.study.ask()
        self._measure(trial, msgspec.structs.replace(proposal, settings=suggest(trial, self.context.space)))
        return ""

    def _next(self) -> Proposal | None:
        """Return the planner's proposal; what another machine is measuring right now comes last."""
        elsewhere, known = self._measured_elsewhere(), self.candidates.all
        self.candidates.all = [c for c in known if c not in elsewhere] or known
        proposal = self.planner.next()
        self.candidates.all = known
        return proposal or (self.planner.next() if elsewhere else None)

    def _measured_elsewhere(self) -> set[Settings]:
        """Return the settings of trials that run on other machines."""
        return {Settings.make(**params) for params in self.study.running()}

    def _recall(self, trial: Trial) -> None:
        """Learn from a trial that was measured before, or on another machine of the same hardware."""
        self.trials.append(trial)
        if trial.phase == PHASE:  # compared with others of this time only
            return
        if trial.infeasible is not None:
            self.candidates.exclude(trial.infeasible)
        elif trial.burst is not None:
            self.beliefs.learn(trial.burst)

    def _without_model(self) -> str:
        """Run one trial of the fallback sampler, skipping what is known or does not fit."""
        if self.beliefs.reached():
            return self.beliefs.verdict()
        if len(self.trials) >= FALLBACK_TRIALS:
            tried = len(self.trials)
            return f"no batch was stamped, so nothing could be predicted; best of {tried} sampled settings"
        for _ in range(IDLE_ASKS):
            trial = self.study.ask()
            settings = self.context.space.loader_part(suggest(trial, self.context.space))
            if self.context.space.allows(settings) and settings not in self.beliefs.measured:
                self._measure(
                    trial, Proposal(settings=settings, phase="search", why="sampled: no model of this loader")
                )
                return ""
            self.study.tell(trial, state=TrialState.PRUNED)
        return "every setting of the space has been tried or does not fit"

    def _measure(self, trial: optuna.trial.Trial, proposal: Proposal) -> None:
        self.tell(proposal)
        with self.study.alive(trial):
            result = self._look(proposal)
        record = Trial(
            number=len(self.trials) + 1,
            phase=proposal.phase,
            settings=proposal.settings,
            why=proposal.why,
            predicted_samples_per_s=proposal.predicted_samples_per_s,
            burst=result if isinstance(result, Burst) else None,
            infeasible=result if isinstance(result, Infeasible) else None,
        )
        self.study.keep(trial, record)
        if isinstance(result, Infeasible):
            self.study.tell(trial, state=TrialState.FAIL)
        else:
            self.study.tell(trial, self.offloading.value(result))
        self._learn(proposal, result)
        self.trials.append(record)
        self.tell(record)

    def _learn(self, proposal: Proposal, result: Burst | Infeasible) -> None:
        if proposal.phase == PHASE:
            self.offloading.learn(proposal.settings, result)
        elif isinstance(result, Infeasible):
            self.candidates.exclude(result)
        else:
            self.beliefs.learn(result)
            self.planner.surprised(proposal)

    def _look(self, proposal: Proposal) -> Burst | Infeasible:
        """Measure, and once more where someone else used the machine: the first look keeps less weight."""
        result = self._burst(proposal)
        if isinstance(result, Burst) and proposal.phase != PHASE and self.beliefs.disturbed(result):
            self.beliefs.learn(result)
            again = self._burst(proposal)
            result = again if isinstance(again, Burst) else result
        return result

    def _burst(self, proposal: Proposal) -> Burst | Infeasible:
        return self.bench.measure(
            proposal.settings, Purpose.TRIAL, proposal.length, abandon_below=proposal.abandon_below
        )


def _measured(trial: Trial) -> tuple[Settings, float | str | None]:
    """Return what tells a trial from others, wherever it was recorded."""
    if trial.burst is not None:
        return trial.settings, trial.burst.start_s
    return trial.settings, trial.infeasible.reason if trial.infeasible else None
