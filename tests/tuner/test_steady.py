import pytest
from hypothesis import given
from hypothesis import settings as example
from hypothesis import strategies as st
from simulator.bench import SimulatedBench, true_samples_per_s
from simulator.workload import Disturbance, Workload

from gputune import stats, steady
from gputune.probes.burst import Burst, Purpose, WorkerBatch
from gputune.probes.protocol import Length
from gputune.probes.settings import Settings

JOB = Workload(name="job", fetch_cpu_s=0.4, gpu_s=0.1)


def burst(period, wait, workers=(), ready=(), num_workers=2):
    return Burst(
        settings=Settings.make(num_workers=num_workers), purpose=Purpose.TRIAL, start_s=0.0,
        end_s=sum(period),
        period_s=list(period), wait_s=list(wait), samples=[8] * len(period), workers=list(workers),
        ready=list(ready),
    )  # fmt: skip


@example(max_examples=12, deadline=None)
@given(
    workers=st.integers(1, 8),
    prefetch=st.sampled_from([1, 2, 4]),
    fetch=st.floats(0.1, 0.8),
    seed=st.integers(0, 99),
)
def test_a_short_burst_is_near_the_sustained_rate(workers, prefetch, fetch, seed):
    workload = JOB.but(fetch_cpu_s=fetch)
    settings = Settings.make(num_workers=workers, prefetch_factor=prefetch)
    length = Length(min_batches=24, min_s=2.0, max_s=6.0)
    measured = SimulatedBench(workload, seed, Disturbance.none()).measure(settings, Purpose.TRIAL, length)
    assert steady.sustained(measured).value == pytest.approx(true_samples_per_s(workload, settings, 400), rel=0.15)


def test_a_full_queue_is_not_mistaken_for_throughput():
    # Two workers make 2 batches in 0.4 s; the loop takes one every 0.1 s from what lay ready.
    stamps = [WorkerBatch(k % 2, (k // 2) * 0.4, 0.4, 0.0, 0.4, 0.0) for k in range(10)]
    drained = burst([0.1] * 20, [0.001] * 20, stamps, ready=range(20, 0, -1))
    assert stats.samples_per_s(drained) == pytest.approx(80)
    assert steady.sustained(drained).value == pytest.approx(40, rel=0.1)


def test_a_shrinking_stock_counts_against_the_rate_even_without_stamps_of_slow_workers():
    stamps = [WorkerBatch(k % 2, k * 0.05, 0.05, 0.0, 0.05, 0.0) for k in range(40)]
    shrinking = burst([0.1] * 40, [0.001] * 40, stamps, ready=[40 - k for k in range(40)])
    level = burst([0.1] * 40, [0.001] * 40, stamps, ready=[20] * 40)
    assert steady.sustained(shrinking).value < 0.6 * steady.sustained(level).value


def test_an_unknown_stock_is_no_stock():
    assert steady.stock_loss_per_s(burst([0.1] * 8, [0.0] * 8, ready=[-1] * 8)) == 0.0


def test_a_workers_cycle_holds_the_hand_over_but_not_the_wait_for_work():
    stamps = [WorkerBatch(0, 0.0, 0.1, 0.02, 0.1, 0.0), WorkerBatch(0, 0.25, 0.1, 0.02, 0.1, 0.1)]
    assert steady.worker_cycle_s(burst([0.2], [0.0], stamps)) == pytest.approx(0.15)


def test_a_burst_without_stamps_falls_back_to_the_loop():
    plain = burst([0.1] * 12, [0.05] * 12)
    assert steady.sustained(plain) == stats.throughput(plain)


def test_no_workers_have_no_cycle():
    assert steady.worker_cycle_s(burst([0.2], [0.1], num_workers=0)) is None
