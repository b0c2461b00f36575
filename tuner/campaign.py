"""The campaign: baseline -> ceiling -> search -> shrink -> proof, filling a record as it goes.

It talks to a :class:`gputune.bench.Bench` only, so a simulated bench runs the whole of it in virtual time.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from gputune import briefing, described, knobs, offloading, pipeline_search, proof, stats, words
from gputune.bench import Bench
from gputune.errors import InconclusiveError
from gputune.listener import Listener
from gputune.options import Options
from gputune.probes.burst import Burst, Infeasible, Purpose
from gputune.probes.protocol import Hello, Length
from gputune.probes.settings import Settings
from gputune.proposal import Proposal
from gputune.record import Outcome, Recommendation, Run, Status, Trial
from gputune.search import search
from gputune.study import Store

BASELINE_LENGTH = Length(warmup_batches=4, min_batches=40, min_s=3.0, max_s=8.0, precision=0.03)
"""Long enough to meet the slow samples of a heavy tail; a shorter one calls a starved loop healthy."""
CEILING_LENGTH = Length(warmup_batches=2, min_batches=16, min_s=1.0, max_s=4.0, precision=0.02)
DIAGNOSIS_LENGTH = Length(warmup_batches=1, min_batches=4, min_s=1.2, max_s=1.5, precision=1.0)
PROOF_SHARE = 0.3
"""Share of the burst budget kept for the proof."""
STILL_WAITING = 0.10
"""A loop that waits more than this at the speed of the ceiling shows that the ceiling was measured too low."""


class Campaign:
    """One campaign over one bench; ``run`` is always the record of what is known so far.

    Args:
        bench: measures.
        hello: what the agent said about the target.
        run: the record to start from (identity, command, machine).
        options: what the user asked for.
        listener: shows progress.
        folder: where the study goes; ``None`` keeps it in memory.
    """

    def __init__(
        self,
        bench: Bench,
        hello: Hello,
        run: Run,
        options: Options,
        listener: Listener,
        folder: Path | None = None,
    ) -> None:
        self._bench, self._hello, self._options, self._listener = bench, hello, options, listener
        self._folder = folder
        self._own = hello.loader.settings
        self._deadline_s = bench.now_s() + max(0.0, options.budget_s - sum(run.phases_s.values()))
        self._knobs = knobs.choices(hello.knobs, options.knobs)
        self.run = msgspec.structs.replace(
            run,
            environment=hello.environment,
            loader=hello.loader,
            loaders=hello.loaders,
            gates=hello.gates,
            startup_s=hello.startup_s,
            status=Status.INTERRUPTED,
        )

    def conduct(self) -> Run:
        """Run every phase and return the complete record.

        Raises:
            gputune.errors.GputuneError: the target is gone; :attr:`run` holds what was learnt before.
        """
        # What an interrupted run has measured is not measured again.
        for name, phase in (("baseline", self._baseline), ("ceiling", self._ceiling), ("diagnosis", self._diagnose)):
            if getattr(self.run, name) is None:
                self._timed(name, phase)
        tunable = not self._nothing_to_gain() or bool(offloading.evident_in(self.run))
        if not tunable and not self._knobs:
            self._update(outcome=Outcome.NOTHING_TO_GAIN)
        elif self._options.search:
            best = self._best() if tunable else None
            if self._knobs:
                best = self._timed("knobs", lambda: self._try_knobs(best or self._own))
            self._conclude(best)
        self._update(status=Status.COMPLETE)
        return self.run

    def _best(self) -> Settings | None:
        best: Settings | None = self._timed("search", self._search)
        if self._ceiling_was_too_low(best):
            self._timed("ceiling again", self._ceiling)
            best = self._timed("search again", self._search)
        return best

    def _update(self, **changes: Any) -> None:
        self.run = msgspec.structs.replace(self.run, **changes)

    def _timed(self, name: str, phase: Callable[[], Any]) -> Any:
        self._listener.phase(name, self.run)
        before = self._bench.now_s()
        try:
            return phase()
        finally:
            spent_s = self.run.phases_s.get(name, 0.0) + self._bench.now_s() - before
            self._update(phases_s={**self.run.phases_s, name: spent_s})

    # -- phases -------------------------------------------------------------------------------------------------

    def _baseline(self) -> None:
        length = BASELINE_LENGTH
        if self._options.warmup is not None:
            length = msgspec.structs.replace(length, warmup_batches=self._options.warmup)
        self._update(baseline=self._must(self._bench.measure(self._own, Purpose.BASELINE, length)))

    def _ceiling(self) -> None:
        workers_can_go = self._hello.environment.hot_swap and self._own.pipeline is None
        alone = Settings.make(num_workers=0) if workers_can_go else self._own
        self._update(ceiling=self._must(self._bench.measure(alone, Purpose.CEILING, CEILING_LENGTH, replay=True)))

    def _ceiling_was_too_low(self, best: Settings | None) -> bool:
        """Whether the best trial contradicts the ceiling: as fast, and still waiting for data.

        Something held up the loop while the ceiling was measured (another process, a cold start).
        """
        bursts = [trial.burst for trial in self.run.trials if trial.burst is not None and trial.settings == best]
        if not bursts or self.run.ceiling is None or self._bench.now_s() > self._deadline_s:
            return False
        last = bursts[-1]
        reached = stats.samples_per_s(last) > 0.95 * stats.samples_per_s(self.run.ceiling)
        return reached and stats.data_wait_share(last) > STILL_WAITING

    def _diagnose(self) -> None:
        result = self._bench.measure(self._own, Purpose.DIAGNOSIS, DIAGNOSIS_LENGTH)
        if isinstance(result, Burst):
            self._update(diagnosis=result)

    def _must(self, result: Burst | Infeasible) -> Burst:
        if isinstance(result, Infeasible):
            raise InconclusiveError(f"the script cannot be measured with its own settings: {result.reason}")
        return result

    def _nothing_to_gain(self) -> bool:
        baseline, ceiling = self.run.baseline, self.run.ceiling
        assert baseline is not None
        assert ceiling is not None
        headroom = stats.samples_per_s(ceiling) / max(1e-9, stats.samples_per_s(baseline)) - 1
        # A loop that hardly ever waits for data has nothing to gain even when the machine drifted in between.
        return headroom < stats.HEADROOM_WORTH_TUNING or stats.data_wait_share(baseline) < stats.MIN_EFFECT

    def _search(self) -> Settings | None:
        left_s = max(10.0, self._deadline_s - self._bench.now_s())
        if self._own.pipeline is not None:
            return self._search_pipeline(self._bench.now_s() + left_s * (1 - PROOF_SHARE))
        context = briefing.context(
            self.run,
            self._options,
            deadline_s=self._bench.now_s() + left_s * (1 - PROOF_SHARE),
            folder=self._folder,
            tune_loader=not self._nothing_to_gain(),
        )
        result = search(self._bench, context, self._tried)
        self._update(stopped_because=result.stopped_because, front=result.pareto)
        return result.best

    def _search_pipeline(self, deadline_s: float) -> Settings:
        context = briefing.pipeline_context(self.run, self._options, deadline_s=deadline_s)
        result = pipeline_search.search(self._bench, context, self._tried)
        self._update(stopped_because=result.stopped_because)
        return result.best

    def _try_knobs(self, base: Settings) -> Settings:
        """Search the script's own knobs under the best loader settings."""
        for known in self._hello.knobs:
            if not known.live and len(self._knobs[known.name]) > 1:
                self._listener.note(words.knob_read_once(known.name))
        bursts = [trial.burst for trial in self.run.trials if trial.burst is not None and trial.settings == base]
        base_burst = bursts[-1] if bursts else self.run.baseline
        assert base_burst is not None
        left_s = max(10.0, self._deadline_s - self._bench.now_s())
        return knobs.search(
            self._bench,
            base,
            base_burst,
            self._hello.knobs,
            self._knobs,
            deadline_s=self._bench.now_s() + left_s * (1 - PROOF_SHARE),
            known=[trial for trial in self.run.trials if trial.settings.knobs],
            store=Store(folder=self._folder),
            seed=self._options.seed,
            tell=self._tried,
        )

    def _tried(self, event: Proposal | Trial) -> None:
        if isinstance(event, Proposal):
            self._listener.plan(event.settings, event.why, self.run)
            return
        trial = msgspec.structs.replace(event, number=len(self.run.trials) + 1)
        self._update(trials=[*self.run.trials, trial])
        self._listener.trial(trial, self.run)

    def _conclude(self, best: Settings | None) -> None:
        if best is None or best == self._own:
            reason = Outcome.NOTHING_TO_GAIN if self._nothing_to_gain() else Outcome.MACHINE_LIMIT
            self._update(outcome=reason)
            return
        found = self._timed("proof", lambda: self._prove(best))
        if found is None or not found.better:
            self._update(outcome=Outcome.NOT_PROVED)
            return
        self._update(
            outcome=Outcome.RECOMMENDED,
            recommendation=Recommendation(
                settings=found.candidate,
                ratio=found.ratio,
                low=found.low,
                high=found.high,
                reproducibility=proof.reproducibility(
                    self._own, found.candidate, self._hello.loader, proof.sameness(found.pairs)
                ),
                notes=described.process_wide(found.candidate),
            ),
        )

    def _prove(self, best: Settings) -> Any:
        assert self.run.baseline is not None
        changed = set(self._own.differences(best)) & set(offloading.LINES)
        length = offloading.length(self.run.baseline, changed) if changed else proof.LENGTH
        found = proof.prove(self._bench, self._own, best, self._deadline_s, self._listener.note, length)
        if found is None and best.loader_only() not in (best, self._own):
            return self._prove(best.loader_only())
        self._update(proof=found)
        return found
