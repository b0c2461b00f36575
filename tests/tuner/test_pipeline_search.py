"""The climb finds what a simulated pipeline needs, in few bursts, and gives back what does not pay."""

from __future__ import annotations

import msgspec
import pipeline_factory
import pytest

from gputune import pipeline_search, stats
from gputune.probes.burst import Infeasible, Purpose
from gputune.probes.settings import Settings
from gputune.probes.tensorflow.settings import AUTOTUNE, PipelineSettings
from gputune.record import Trial

STEP_S = 0.010


class Machine:
    """A pipeline in virtual time: waiting overlaps without end, computing only as far as there are cores."""

    def __init__(self, waiting_s: float, computing_s: float, cores: int = 4, fails_from: int = 10_000) -> None:
        self.waiting_s, self.computing_s, self.cores, self.fails_from = waiting_s, computing_s, cores, fails_from
        self.clock, self.measured = 0.0, []

    def now_s(self) -> float:
        return self.clock

    def period_s(self, settings: PipelineSettings) -> float:
        if settings.workers is not None:
            calls, ahead = settings.workers, True
        else:
            calls = settings.map_parallelism or 1
            calls, ahead = (self.cores if calls == AUTOTUNE else calls), settings.prefetch != 0
            shared = not settings.private_threadpool_size
            calls = min(calls, self.cores) if shared else min(calls, settings.private_threadpool_size)
        service_s = max((self.waiting_s + self.computing_s) / calls, self.computing_s / self.cores)
        return max(service_s, STEP_S) if ahead else service_s + STEP_S

    def burst(self, settings: Settings, purpose: Purpose = Purpose.TRIAL, free: bool = False):
        period_s = STEP_S if free else self.period_s(settings.pipeline)
        made = pipeline_factory.burst(settings.pipeline, step_s=STEP_S, wait_s=max(0.0, period_s - STEP_S), spread=0.0)
        cores = 0.1 if self.waiting_s > self.computing_s else 1.0
        return msgspec.structs.replace(made, purpose=purpose, host=msgspec.structs.replace(made.host, cpu_cores=cores))

    def measure(self, settings, purpose, length=None, *, replay=False, abandon_below=None):
        self.clock += 2.0
        self.measured.append(settings.pipeline)
        if (settings.pipeline.map_parallelism or 1) >= self.fails_from:
            return Infeasible(settings=settings, purpose=purpose, reason="too many")
        return self.burst(settings, purpose)


def searched(machine: Machine, own: PipelineSettings = pipeline_factory.OWN, **options):
    user = Settings(tensorflow=own)
    context = pipeline_search.PipelineContext(
        user=user,
        baseline=machine.burst(user, Purpose.BASELINE),
        ceiling=machine.burst(user, Purpose.CEILING, free=True),
        effective_cpus=machine.cores,
        deadline_s=100.0,
        **options,
    )
    told = []
    result = pipeline_search.search(machine, context, told.append)
    return result, [event for event in told if isinstance(event, Trial)]


def test_waiting_storage_gets_as_many_calls_as_hide_it_and_threads_of_their_own():
    machine = Machine(waiting_s=0.150, computing_s=0.002)
    result, trials = searched(machine)
    best = result.best.pipeline
    assert machine.period_s(best) == pytest.approx(STEP_S, rel=0.05)
    assert best.private_threadpool_size >= best.map_parallelism >= 15
    assert len(trials) <= 7
    assert result.stopped_because == "the loop is fed"


def test_computing_gets_the_cores_and_no_more():
    machine = Machine(waiting_s=0.0, computing_s=0.030)
    result, trials = searched(machine)
    assert machine.period_s(result.best.pipeline) == pytest.approx(STEP_S, rel=0.05)
    assert result.best.pipeline.map_parallelism <= 4
    assert len(trials) <= 6


def test_loading_shorter_than_the_step_only_has_to_overlap():
    result, trials = searched(Machine(waiting_s=0.0, computing_s=0.008))
    assert result.best.pipeline.map_parallelism == 1
    assert result.best.pipeline.prefetch >= 1
    assert len(trials) <= 3


def test_a_machine_that_cannot_keep_up_is_climbed_until_nothing_more_comes():
    machine = Machine(waiting_s=0.0, computing_s=0.200)
    result, trials = searched(machine)
    assert machine.period_s(result.best.pipeline) == pytest.approx(0.050, rel=0.02)
    assert result.stopped_because == "no further step brought more"
    assert len(trials) <= 14


def test_a_failed_trial_is_not_repeated_and_does_not_end_the_search():
    machine = Machine(waiting_s=0.150, computing_s=0.0, fails_from=16)
    result, trials = searched(machine)
    assert any(trial.infeasible for trial in trials)
    assert len(set(machine.measured)) == len(machine.measured)
    assert 1 < result.best.pipeline.map_parallelism < 16 or result.best.pipeline.map_parallelism == AUTOTUNE


def test_workers_of_a_py_dataset_are_climbed_the_same_way():
    own = PipelineSettings(workers=1, use_multiprocessing=False, max_queue_size=10)
    machine = Machine(waiting_s=0.040, computing_s=0.001)
    result, trials = searched(machine, own)
    assert 4 <= result.best.pipeline.workers <= 8
    assert result.best.pipeline.use_multiprocessing is False
    assert len(trials) <= 4


def test_values_are_restricted_to_what_the_user_named():
    machine = Machine(waiting_s=0.150, computing_s=0.0)
    result, _ = searched(machine, restrict={"map_parallelism": (1, 4), "prefetch": (1,)})
    assert {settings.map_parallelism for settings in machine.measured} <= {1, 4}
    assert result.best.pipeline.prefetch in (0, 1)


def test_an_order_that_varies_is_only_tried_when_allowed():
    machine = Machine(waiting_s=0.150, computing_s=0.0)
    searched(machine)
    assert all(settings.deterministic is None for settings in machine.measured)
    searched(machine, allow=("deterministic",))
    assert any(settings.deterministic is False for settings in machine.measured)


def test_the_deadline_ends_the_search():
    machine = Machine(waiting_s=0.0, computing_s=0.200)
    machine.clock = 97.0
    result, trials = searched(machine)
    assert len(trials) == 1
    assert "time budget" in result.stopped_because


def test_what_is_as_fast_and_cheaper_wins():
    machine = Machine(waiting_s=0.021, computing_s=0.0)
    result, _ = searched(machine)
    best = result.best
    assert stats.samples_per_s(machine.burst(best)) >= 0.97 / STEP_S * 32
    assert best.pipeline.map_parallelism <= 4
