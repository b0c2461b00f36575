import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from simulator.bench import SimulatedBench, true_samples_per_s
from simulator.workload import Disturbance, Workload

from gputune.model import Model
from gputune.probes.burst import Purpose
from gputune.probes.protocol import Length
from gputune.probes.settings import Settings
from gputune.reading import computing_wall_s, cpu_bound

CPU = Workload(name="cpu", fetch_cpu_s=0.4, gpu_s=0.1)
WAITING = Workload(name="waiting", fetch_cpu_s=0.05, fetch_io_s=0.6, gpu_s=0.1)
TINY = Workload(
    name="tiny", fetch_cpu_s=0.0004, receive_s=0.002, worker_put_s=0.0015, pin_s=0.0003, gpu_s=0.003,
    launch_s=0.0026,
    copy_pageable_s=0.0001, batch_bytes=50_000, log_s=0.0,
)  # fmt: skip
CROWDED = Workload(name="crowded", cpus=4, fetch_cpu_s=0.8, gpu_s=0.1)


def learnt(workload, *more):
    bench = SimulatedBench(workload, 0, Disturbance.none())
    length = Length(min_batches=60, max_s=20)
    model = Model(workload.cpus, bench.measure(workload.user, Purpose.CEILING, replay=True))
    for settings in (workload.user, *more):
        model.add(bench.measure(settings, Purpose.BASELINE, length))
    return model


@pytest.mark.parametrize("workload", [CPU, WAITING], ids=lambda w: w.name)
@pytest.mark.parametrize("workers", [1, 2, 3, 5, 8])
def test_one_burst_predicts_other_worker_counts(workload, workers):
    settings = Settings.make(num_workers=workers, prefetch_factor=2)
    predicted = learnt(workload).predict([settings]).samples_per_s[0]
    assert predicted == pytest.approx(true_samples_per_s(workload, settings), rel=0.12)


def test_tiny_samples_are_predicted_fastest_on_the_training_thread():
    model = learnt(TINY)
    alone, four = model.predict([Settings(), Settings.make(num_workers=4)]).samples_per_s
    assert alone > four


def test_workers_beyond_the_cores_are_not_expected_to_help():
    model = learnt(CROWDED)
    three, twelve = model.predict([Settings.make(num_workers=n) for n in (3, 12)]).samples_per_s
    assert twelve < 1.15 * three


def test_a_checked_prediction_corrects_the_next_one():
    saturated = WAITING.but(io_lanes=3)
    settings = Settings.make(num_workers=8, prefetch_factor=2)
    truth = true_samples_per_s(saturated, settings)
    before = learnt(saturated).predict([settings]).samples_per_s[0]
    after = learnt(saturated, Settings.make(num_workers=6)).predict([settings]).samples_per_s[0]
    assert abs(after - truth) < 0.5 * abs(before - truth)


def test_no_prediction_exceeds_what_the_loop_can_take():
    model = learnt(CPU, Settings.make(num_workers=6))
    candidates = [Settings.make(num_workers=n, prefetch_factor=p) for n in range(1, 33) for p in (1, 2, 8)]
    expected = model.predict(candidates).samples_per_s
    assert max(expected) <= 1.001 * model.loop_samples_per_s(candidates[0])


def test_a_model_without_bursts_refuses_to_predict():
    with pytest.raises(ValueError, match="no burst"):
        Model(4.0).predict([Settings()])


def test_the_limit_names_cores_when_the_loader_needs_more_than_there_are():
    model = learnt(CROWDED)
    assert "cores, this machine gives 4" in model.limit(CROWDED.user)


def test_cpu_bound_and_waiting_loaders_are_told_apart():
    length = Length(min_batches=40, max_s=10)
    found = [
        cpu_bound(SimulatedBench(w, 0, Disturbance.none()).measure(w.user, Purpose.BASELINE, length), w.cpus)
        for w in (CPU, CROWDED, WAITING)
    ]
    assert found == [True, True, False]


@given(
    wall=st.floats(0.001, 10), share=st.floats(0, 1), workers=st.floats(0, 64), others=st.floats(0, 8),
    cores=st.floats(0.5, 64),
)  # fmt: skip
def test_computing_is_at_least_the_cpu_time_and_at_most_the_wall_time(wall, share, workers, others, cores):
    computing = computing_wall_s(wall, wall * share, workers, others, cores)
    assert wall * share - 1e-9 <= computing <= wall + 1e-9


@pytest.mark.timing
def test_a_thousand_candidates_cost_less_than_a_burst():
    model = learnt(CPU)
    candidates = [Settings.make(num_workers=1 + k % 64, prefetch_factor=1 + k // 64) for k in range(1024)]
    best_s = min(_timed(lambda: model.predict(candidates)) for _ in range(5))
    assert best_s < 0.2  # 10-15 ms on an idle core; the target is 50
    assert np.isfinite(model.predict(candidates).samples_per_s).all()


def _timed(work):
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
