"""Properties that hold on whatever job the search meets: the simulator draws the jobs."""

from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from simulator.bench import SimulatedBench
from simulator.workload import Disturbance, Workload
from simulator.workloads import random_workloads

from gputune.beliefs import Beliefs
from gputune.candidates import Candidates
from gputune.model import Model
from gputune.planner import Planner
from gputune.probes.burst import Burst, Infeasible, Purpose
from gputune.probes.protocol import Length
from gputune.probes.settings import Settings
from gputune.search import SearchContext, search

JOBS = random_workloads(8, seed=20)
LENGTH = Length(min_batches=40, max_s=10)


@pytest.mark.parametrize("workload", JOBS, ids=lambda w: w.name)
def test_nothing_beyond_the_hard_limits_is_ever_proposed(job, workload):
    bench, known = job(workload)
    found = search(bench, SearchContext(**known))
    assert all(known["space"].fits(trial.settings) for trial in found.trials)
    assert not any(isinstance(result, Infeasible) for result in bench.bursts)


@pytest.mark.parametrize("workload", JOBS, ids=lambda w: w.name)
def test_what_is_recommended_was_measured_and_is_believed_as_fast_as_the_users_own(job, workload):
    bench, known = job(workload)
    found = search(bench, SearchContext(**known))
    assert found.best in {known["user"], *(trial.settings for trial in found.trials)}
    front = {point.settings: point.samples_per_s for point in found.pareto}
    assert max(front.values()) >= front.get(known["user"], 0.0)


@pytest.mark.parametrize("workload", JOBS[:3], ids=lambda w: w.name)
def test_every_trial_says_what_was_predicted(job, workload):
    bench, known = job(workload)
    trials = search(bench, SearchContext(**known)).trials
    assert all(trial.why and trial.predicted_samples_per_s > 0 for trial in trials)


def learnt(workload):
    bench = SimulatedBench(workload, 0, Disturbance.none())
    model = Model(workload.cpus, bench.measure(workload.user, Purpose.CEILING, replay=True))
    model.add(bench.measure(workload.user, Purpose.BASELINE, LENGTH))
    return model


@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(cpu=st.floats(0.05, 0.6), io=st.floats(0.0, 0.6), gpu=st.floats(0.03, 0.3), spread=st.floats(0.05, 0.5))
def test_on_idle_cores_more_workers_and_deeper_queues_are_never_predicted_clearly_slower(cpu, io, gpu, spread):
    model = learnt(Workload(name="any", cpus=64, fetch_cpu_s=cpu, fetch_io_s=io, gpu_s=gpu, fetch_cpu_spread=spread))
    wider = model.predict([Settings.make(num_workers=n, prefetch_factor=4) for n in range(1, 9)]).samples_per_s
    deeper = model.predict([Settings.make(num_workers=3, prefetch_factor=p) for p in (1, 2, 4, 8)]).samples_per_s
    # What one burst left unexplained is carried over to its neighbours, so a few percent are no contradiction.
    assert all(after >= 0.95 * before for before, after in pairwise(wider))
    assert all(after >= 0.95 * before for before, after in pairwise(deeper))


@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
@given(cpu=st.floats(0.2, 0.8), slower=st.floats(1.3, 3.0))
def test_slower_batches_are_never_predicted_to_arrive_faster(cpu, slower):
    asked = [Settings.make(num_workers=n) for n in (1, 2, 4)]
    quick, slow = (
        learnt(Workload(name="any", fetch_cpu_s=c, gpu_s=0.05)).predict(asked).samples_per_s
        for c in (cpu, slower * cpu)
    )
    assert (slow <= 1.02 * quick).all()


def measured(workload, *trials, seed=0):
    bench = SimulatedBench(workload, seed, Disturbance.none())
    ceiling = bench.measure(workload.user, Purpose.CEILING, replay=True)
    beliefs = Beliefs(bench.measure(workload.user, Purpose.BASELINE, LENGTH), ceiling, effective_cpus=workload.cpus)
    for wanted in trials:
        beliefs.learn(bench.measure(wanted, Purpose.TRIAL, LENGTH))
    return beliefs


def test_a_burst_that_met_no_slow_batch_is_not_believed(job):
    workload = Workload(name="tail", fetch_cpu_s=0.35, tail_share=0.04, tail_factor=18.0, gpu_s=0.12)
    beliefs = measured(workload)
    lucky = next(b for seed in range(40) if not _slow(b := measured(workload, seed=seed).measured[workload.user][0]))
    unlucky = next(b for seed in range(40) if _slow(b := measured(workload, seed=seed).measured[workload.user][0]) > 2)
    beliefs = Beliefs(lucky, beliefs.model.ceiling, effective_cpus=16)
    before = beliefs.fastest()[1]
    beliefs.learn(unlucky)
    assert before > 1.3 * beliefs.fastest()[1]


def _slow(burst: Burst) -> int:
    return sum(batch.fetch_s > 3.0 for batch in burst.workers)


def test_the_training_thread_is_tried_where_few_workers_are_no_better(job):
    workload = Workload(
        name="two cores", cpus=2, background_cpus=0.1, fetch_cpu_s=0.06, gpu_s=0.03, launch_s=0.008, gpu_slope=0.2,
        memory_slope=0.3, oversubscription=0.6, drift=0.01, user=Settings.make(num_workers=2),
    )  # fmt: skip
    bench, known = job(workload)
    found = search(bench, SearchContext(**known))
    assert any(trial.settings.num_workers == 0 for trial in found.trials)
    assert found.best.num_workers == 0


def test_a_planner_without_a_model_proposes_nothing(job):
    _, known = job(JOBS[0])
    blind = known["baseline"].__class__(
        settings=known["user"], purpose=Purpose.BASELINE, start_s=0.0, end_s=1.0, period_s=[0.1] * 10,
        wait_s=[0.0] * 10, samples=[8] * 10,
    )  # fmt: skip
    beliefs = Beliefs(blind, None, effective_cpus=4)
    assert Planner(known["user"], beliefs, Candidates(known["space"], known["user"], blind)).next() is None
