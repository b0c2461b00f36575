"""What bursts claim about real loops."""

from __future__ import annotations

from statistics import median

import pytest

from gputune import stats
from gputune.probes.burst import StallKind
from gputune.probes.protocol import Length

HEAVY = pytest.mark.heavy
STEADY = Length(warmup_batches=2, min_batches=30, min_s=0.8, max_s=4.0, precision=0.05)


@pytest.mark.timing
def test_a_starved_loop_waits_and_workers_relieve_it(conduct):
    conducted = conduct("latency.py", 0.004, 0.01, 0)
    alone = conducted.burst(length=STEADY)
    fed = conducted.burst(num_workers=8, length=STEADY)
    assert stats.data_wait_share(alone) > 0.6
    assert stats.samples_per_s(fed) > 2 * stats.samples_per_s(alone)


@pytest.mark.timing
def test_the_ceiling_is_the_speed_without_loading(conduct):
    conducted = conduct("latency.py", 0.004, 0.01, 0)
    # Three times each, the calmest counts: a neighbour that comes in the middle of one burst must not decide.
    rounds = [
        (conducted.burst(length=STEADY), conducted.burst(replay=True, num_workers=0, length=STEADY)) for _ in range(3)
    ]
    step_s = min(16 / stats.samples_per_s(ceiling) for _, ceiling in rounds)
    busy_s = min(stats.busy_s(alone) for alone, _ in rounds)
    assert min(stats.data_wait_share(ceiling) for _, ceiling in rounds) < 0.05
    assert 0.4 < busy_s / step_s < 2.5


@pytest.mark.timing
def test_stock_that_was_prefetched_before_a_burst_is_not_taken_for_throughput(conduct):
    conducted = conduct("latency.py", 0.004, 0.002, 0)
    burst = conducted.burst(
        num_workers=1, prefetch_factor=16, length=Length(warmup_batches=1, min_batches=10, min_s=0.1, max_s=2)
    )
    capacity = stats.capacity_samples_per_s(burst)
    assert capacity is not None
    assert stats.samples_per_s(burst) < 1.2 * capacity


def test_workers_are_timed_inside_and_told_waiting_from_computing(conduct):
    conducted = conduct("latency.py", 0.003, 0.005, 0)
    for settings in ({}, {"num_workers": 2}):
        burst = conducted.burst(length=STEADY, **settings)
        assert len(burst.workers) >= 10
        assert {batch.worker for batch in burst.workers} == set(range(max(1, burst.settings.num_workers)))
        service_s = stats.service_s(burst)
        assert service_s is not None
        assert service_s > 16 * 0.003
        share = stats.cpu_share(burst)
        assert share is not None
        assert share < 0.5


@pytest.mark.parametrize("method", ["fork", *(pytest.param(m, marks=HEAVY) for m in ("forkserver", "spawn"))])
def test_workers_of_every_start_method_stamp_each_batch_with_wall_and_cpu_time(conduct, method):
    burst = conduct("hot.py", 2, method).burst(length=Length(min_batches=12, min_s=0.0, precision=10.0))
    assert {batch.worker for batch in burst.workers} == {0, 1}
    assert len(burst.workers) >= len(burst.period_s) // 2
    assert burst.batch_bytes == 4 * 8 * 4
    for batch in burst.workers:
        # Four samples that compute for 2 ms each; on a busy machine wall time is longer, CPU time is not.
        assert 0.008 <= batch.cpu_s <= batch.fetch_s + batch.collate_s + 0.001
        assert batch.collate_s > 0
        assert batch.idle_s >= 0
        assert batch.process_cpu_s >= 0.9 * batch.cpu_s


def test_validation_and_checkpoints_are_told_from_training(conduct, tmp_path):
    conducted = conduct("two_loaders.py", tmp_path / "model.pt")
    assert conducted.hello.loader.role == "train"
    assert conducted.hello.loader.batches_per_epoch == 40
    burst = conducted.burst(length=Length(warmup_batches=1, min_batches=120, min_s=0.5, max_s=10))
    kinds = [stall.kind for stall in burst.stalls]
    assert kinds.count(StallKind.VALIDATION) >= 2
    assert kinds.count(StallKind.CHECKPOINT) >= 2
    assert kinds.count(StallKind.EPOCH) >= 2
    validation_s = [stall.duration_s for stall in burst.stalls if stall.kind is StallKind.VALIDATION]
    assert min(validation_s) > 10 * 0.01
    assert median(burst.period_s) < min(validation_s)


def test_an_inference_script_is_measured_without_any_optimiser(conduct):
    conducted = conduct("inference.py")
    assert conducted.hello.loader.role == "inference"
    assert conducted.burst().period_s


def test_epochs_shorter_than_a_burst_are_measured_across_their_ends(conduct):
    conducted = conduct("tiny_epochs.py", 2)
    burst = conducted.burst(length=Length(warmup_batches=1, min_batches=30, min_s=0.3, max_s=6))
    ends = [stall for stall in burst.stalls if stall.kind is StallKind.EPOCH]
    assert len(ends) >= 4
    persistent = conducted.burst(
        num_workers=2, persistent_workers=True, length=Length(min_batches=30, min_s=0.3, max_s=6)
    )
    assert [stall for stall in persistent.stalls if stall.kind is StallKind.EPOCH]


def test_an_unsharded_iterable_is_held_at_one_worker_and_a_sharded_one_is_free(conduct):
    unsharded = conduct("iterable.py", "unsharded").hello.gates
    assert [gate.allowed for gate in unsharded] == [[0, 1]]
    assert "get_worker_info" in unsharded[0].reason
    sharded = conduct("iterable.py", "sharded")
    assert sharded.hello.gates == []
    assert sharded.burst(num_workers=2).period_s


def test_a_dataset_with_an_open_file_is_not_given_workers(conduct, tmp_path):
    gates = conduct("open_handle.py", tmp_path / "data.bin").hello.gates
    assert [gate.allowed for gate in gates] == [[0]]
    assert "BufferedReader at Records.file" in gates[0].reason
