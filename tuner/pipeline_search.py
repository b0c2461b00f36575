"""The search for ``tf.data`` pipelines and ``PyDataset`` workers: a climb on measured bursts, then a shrink.

The replay model of the torch loader does not fit here: TensorFlow's runtime shares threads, fuses transformations and
tunes some of them itself. There are few settings and they act alike, so the ladder of parallelism is climbed with
everything overlapped, each step measured, and what does not pay is given back.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from statistics import fmean
from typing import Any

import msgspec

from gputune import stats
from gputune.bench import Bench
from gputune.probes.burst import Burst, Infeasible, Purpose
from gputune.probes.protocol import Length
from gputune.probes.settings import Settings
from gputune.probes.tensorflow.settings import AUTOTUNE, PIPELINE_SETTINGS, SEQUENTIAL, PipelineSettings
from gputune.proposal import Proposal
from gputune.record import Trial

REACHED = 0.97
"""Share of the ceiling at which a pipeline keeps up."""
WORTH_CLIMBING = 1.04
"""A step up the ladder that brings less than this factor is the last."""
EQUAL = 0.98
"""Settings within this factor of the fastest are as fast; the cheapest of them wins."""
LENGTH = Length(warmup_batches=4, min_batches=12, min_s=1.2, max_s=4.0, precision=0.03)
TUNING = Length(warmup_batches=20, min_batches=12, min_s=2.5, max_s=6.0, precision=0.03)
"""For AUTOTUNE, which needs some seconds to find its values."""
OVERLAP_HELPS = 1.1
"""Loading that takes up to this multiple of the step can hide behind it one element at a time."""
MARGIN = 1.25
"""The first step up has this many times the calls that hiding the waiting takes; what is too much is given back."""
PATIENCE = 2
"""Steps in a row that bring nothing before the climb ends."""
WAITING_CORES = 0.6
"""A starved process that keeps fewer cores busy than this waits for storage or the network."""
PREFETCHED = 2
_PARALLEL = ("map_parallelism", "interleave_parallelism")
_MOST_PER_CORE = 16
"""Calls that only wait gain from more of them than cores, up to this many a core."""
_PROCESS_COST = 5.0

Listener = Callable[[Proposal | Trial], None]
Step = tuple[PipelineSettings, str]


class PipelineContext(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the search needs to know."""

    user: Settings
    baseline: Burst
    ceiling: Burst | None = None
    effective_cpus: float
    deadline_s: float
    """On the clock of ``bench.now_s()``."""
    restrict: Mapping[str, tuple[Any, ...]] = {}
    allow: tuple[str, ...] = ()
    known: list[Trial] = []
    """What an interrupted run has measured already."""
    max_trials: int = 16


class PipelineResult(msgspec.Struct, frozen=True, kw_only=True):
    """What the search found."""

    best: Settings
    """The cheapest measured settings as fast as the fastest; may be the user's own."""
    stopped_because: str


def search(bench: Bench, context: PipelineContext, listener: Listener) -> PipelineResult:
    """Find the cheapest settings that keep the loop fed.

    Raises:
        gputune.errors.GputuneError: the bench lost its target.
    """
    return _Search(bench, context, listener).run()


class _Search:
    def __init__(self, bench: Bench, context: PipelineContext, listener: Listener) -> None:
        assert context.user.pipeline is not None
        self.bench, self.context, self.tell = bench, context, listener
        self.user = context.user.pipeline
        self.rates: dict[PipelineSettings, float] = {self.user: stats.samples_per_s(context.baseline)}
        self.failed: set[PipelineSettings] = set()
        for trial in context.known:
            pipeline = trial.settings.pipeline
            if pipeline is not None and trial.burst is not None:
                self.rates[pipeline] = stats.samples_per_s(trial.burst)
            elif pipeline is not None:
                self.failed.add(pipeline)
        self.trials = 0
        self.cores = max(1, math.ceil(context.effective_cpus))
        self.axes = [name for name in _PARALLEL if getattr(self.user, name) is not None]
        self.need = needed(context.baseline, context.ceiling)
        self.waits = waits(context.baseline)

    def run(self) -> PipelineResult:
        stopped = ""
        for phase, steps in (("search", self._climb), ("search", self._asked), ("shrink", self._shrink)):
            for settings, why in steps():
                stopped = self._out_of_means()
                if stopped:
                    break
                self._try(settings, phase, why)
        best = self.best()
        if not stopped:
            stopped = "the loop is fed" if self._reached(best) else "no further step brought more"
        return PipelineResult(best=self._settings(best), stopped_because=stopped)

    # -- what to try --------------------------------------------------------------------------------------------

    def _climb(self) -> Iterator[Step]:
        """Yield steps up the ladder as long as they pay."""
        if self.need <= OVERLAP_HELPS:
            yield from self._new(self._overlapped(), "the same work, overlapped with the step")
        idle_steps = 0
        for calls in self._ladder():
            before = self.rates[self.best()]
            if self._reached(self.best()):
                return
            yield from self._new(self._at_a_time(calls), f"{calls} at a time")
            idle_steps = 0 if self.rates[self.best()] > before * WORTH_CLIMBING else idle_steps + 1
            if idle_steps == PATIENCE:
                break
        if self.axes and not self._reached(self.best()):
            chosen = dict.fromkeys(self.axes, AUTOTUNE)
            yield from self._new(self._with(prefetch=AUTOTUNE, **chosen), "what TensorFlow tunes by itself")
        yield from self._processes()
        yield from self._corners()

    def _at_a_time(self, calls: int) -> PipelineSettings:
        if self.user.workers is not None:
            return self._with(workers=calls)
        changes: dict[str, Any] = dict.fromkeys(self.axes, calls)
        if self.waits or calls > self.cores:
            # Calls that wait would hold the threads that the model computes with; those have one thread a core.
            changes["private_threadpool_size"] = calls
        return self._with(prefetch=PREFETCHED, **changes)

    def _overlapped(self) -> PipelineSettings:
        return self._with(prefetch=PREFETCHED) if self.user.workers is None else self._with(workers=2)

    def _ladder(self) -> list[int]:
        """Return the parallelism to try, likeliest first: work that waits may need far more calls than cores."""
        if self.user.workers is None and not self.axes:
            return []
        most = self.cores * _MOST_PER_CORE
        steps = [max(2, self.cores)]
        while steps[-1] * 2 <= most:
            steps.append(steps[-1] * 2)
        if self.waits:
            enough = [step for step in steps if step >= self.need * MARGIN]
            steps = enough[:1] + steps[len(steps) - len(enough) + 1 :] if enough else steps[-1:]
        return steps

    def _processes(self) -> Iterator[Step]:
        """Python work takes turns among threads; processes have an interpreter each."""
        if self.user.workers is None or self._reached(self.best()):
            return
        for workers in dict.fromkeys((self.cores, 2 * self.cores)):
            yield from self._new(self._with(workers=workers, use_multiprocessing=True), f"{workers} processes")

    def _corners(self) -> Iterator[Step]:
        """Yield single changes of the best so far, where the loop is still not fed."""
        for name, value, why in (
            ("batch_parallelism", 2, "batches put together in parallel"),
            ("private_threadpool_size", self.cores, "threads apart from the model's"),
            ("prefetch", 8, "a deeper queue"),
            ("max_queue_size", 20, "a deeper queue"),
        ):
            best = self.best()
            applies = getattr(self.user, name) is not None or (name == "private_threadpool_size" and self.axes)
            if applies and not self._reached(best):
                yield from self._new(self._limited(best.replace(**{name: value})), why)

    def _asked(self) -> Iterator[Step]:
        """Yield every value the user named, and what the user allowed, on top of the best."""
        named = {name: values for name, values in self.context.restrict.items() if name in PIPELINE_SETTINGS}
        named |= {name: (False,) for name in self.context.allow if name in PIPELINE_SETTINGS and name not in named}
        for name, values in named.items():
            for value in values:
                yield from self._new(self.best().replace(**{name: value}), f"{name} as you asked")

    def _shrink(self) -> Iterator[Step]:
        """Yield cheaper neighbours of the best for as long as they are as fast."""
        for _ in range(6):
            best = self.best()
            steps = list(self._cheaper(best))
            if not steps:
                return
            yield from steps
            if self.best() == best:
                return

    def _cheaper(self, best: PipelineSettings) -> Iterator[Step]:
        for name in ("workers", *_PARALLEL):
            value, lowest = getattr(best, name), getattr(self.user, name) or SEQUENTIAL
            if value is not None and value > max(1, lowest):
                fewer = {name: max(lowest, value // 2)}
                if (
                    best.private_threadpool_size == value
                    and best.private_threadpool_size != self.user.private_threadpool_size
                ):
                    fewer["private_threadpool_size"] = fewer[name]
                yield from self._new(self._limited(best.replace(**fewer)), f"fewer {name}")
        if best.prefetch is not None and best.prefetch > 1 and best.prefetch != self.user.prefetch:
            yield from self._new(self._limited(best.replace(prefetch=1)), "one batch ahead")

    def _new(self, settings: PipelineSettings, why: str) -> Iterator[Step]:
        if settings not in self.rates and settings not in self.failed:
            yield settings, why

    def _with(self, **changes: Any) -> PipelineSettings:
        """Return the user's settings with changes, of which those that do not apply to this pipeline are left out."""
        extra = {"private_threadpool_size", "use_multiprocessing"}
        applies = {
            name: value for name, value in changes.items() if name in extra or getattr(self.user, name) is not None
        }
        return self._limited(self.user.replace(**applies))

    def _limited(self, settings: PipelineSettings) -> PipelineSettings:
        """Return settings that keep to the values the user restricted the search to."""
        fixed = {}
        for name, values in self.context.restrict.items():
            applies = name in PIPELINE_SETTINGS and (
                getattr(self.user, name) is not None
                or PIPELINE_SETTINGS[name].asked
                or PIPELINE_SETTINGS[name].semantic
            )
            if applies and getattr(settings, name) not in values:
                fixed[name] = _nearest(getattr(settings, name), values)
        return settings.replace(**fixed)

    # -- what is known ------------------------------------------------------------------------------------------

    def best(self) -> PipelineSettings:
        """Return the cheapest measured settings that are as fast as the fastest."""
        fastest = max(self.rates.values())
        good = [settings for settings, rate in self.rates.items() if rate >= fastest * EQUAL]
        return min(good, key=lambda settings: (self._cost(settings), -self.rates[settings]))

    def _cost(self, settings: PipelineSettings) -> float:
        calls = [getattr(settings, name) for name in (*_PARALLEL, "batch_parallelism", "workers")]
        threads = sum(self.cores if value == AUTOTUNE else value for value in calls if value is not None)
        prefetch = settings.prefetch or 0
        return (
            threads
            + 0.5 * (settings.private_threadpool_size or 0)
            + 0.1 * (4 if prefetch == AUTOTUNE else prefetch)
            + _PROCESS_COST * bool(settings.use_multiprocessing)
            + (settings.deterministic is False)
        )

    def _reached(self, settings: PipelineSettings) -> bool:
        ceiling = self.context.ceiling
        return ceiling is not None and self.rates[settings] >= REACHED * stats.samples_per_s(ceiling)

    def _out_of_means(self) -> str:
        if self.trials >= self.context.max_trials:
            return f"trial limit: {self.trials} trials"
        if self.bench.now_s() + LENGTH.min_s > self.context.deadline_s:
            return f"time budget used up after {self.trials} trials"
        return ""

    def _settings(self, pipeline: PipelineSettings) -> Settings:
        return msgspec.structs.replace(self.context.user, tensorflow=pipeline)

    def _try(self, pipeline: PipelineSettings, phase: str, why: str) -> None:
        settings = self._settings(pipeline)
        length = TUNING if AUTOTUNE in pipeline.values().values() else LENGTH
        self.tell(Proposal(settings=settings, phase=phase, why=why))
        result = self.bench.measure(settings, Purpose.TRIAL, length, abandon_below=0.7 * max(self.rates.values()))
        self.trials += 1
        if isinstance(result, Infeasible):
            self.failed.add(pipeline)
        else:
            self.rates[pipeline] = stats.samples_per_s(result)
        self.tell(
            Trial(
                number=self.trials,
                phase=phase,
                settings=settings,
                why=why,
                burst=result if isinstance(result, Burst) else None,
                infeasible=result if isinstance(result, Infeasible) else None,
            )
        )


def needed(baseline: Burst, ceiling: Burst | None) -> float:
    """Return how many calls at a time it takes to hide the waiting behind the step, if one at a time was measured."""
    busy_s = stats.busy_s(baseline)
    if ceiling is not None:
        busy_s = fmean(baseline.samples) / max(1e-9, stats.samples_per_s(ceiling))
    return fmean(baseline.wait_s) / max(1e-9, busy_s)


def waits(baseline: Burst) -> bool:
    """Whether loading mostly waits for something other than a core, as far as the whole process tells."""
    used = baseline.host.cpu_cores
    return used is not None and used < WAITING_CORES


def _nearest(value: Any, values: tuple[Any, ...]) -> Any:
    numbers = [choice for choice in values if value is not None and not isinstance(choice, bool)]
    return min(numbers, key=lambda choice: abs(choice - value)) if numbers else values[0]
