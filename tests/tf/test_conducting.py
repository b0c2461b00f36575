"""Real scripts conducted through the real channel: what is found, measured, swapped, undone and given back."""

from __future__ import annotations

from gputune.probes.burst import StallKind
from gputune.probes.protocol import Length
from gputune.probes.tensorflow.settings import PipelineSettings

LONG = Length(warmup_batches=2, min_batches=30, min_s=0.0, max_s=20.0, precision=10.0)
WIDE = {"map_parallelism": 16, "prefetch": 2, "private_threadpool_size": 16}


def own(running, **changes):
    return running.hello.loader.settings.tensorflow.replace(**changes)


def mean_s(burst):
    return sum(burst.period_s) / len(burst.period_s)


def wait_share(burst):
    return sum(burst.wait_s) / sum(burst.period_s)


def test_fit_is_found_by_its_line_and_its_data_wait_is_measured(conduct):
    running = conduct("fit.py", "--step-ms", "5", "--latency-ms", "4")
    loader = running.hello.loader
    assert (loader.role, loader.batch_size, loader.batches_per_epoch) == ("train", 16, 256)
    assert loader.file.endswith("fit.py")
    assert [stage.operation for stage in loader.stages] == ["shuffle", "map", "batch"]
    assert loader.settings.tensorflow == PipelineSettings(map_parallelism=1, batch_parallelism=1, prefetch=0)
    assert running.hello.environment.tensorflow.startswith("2.")
    assert running.hello.environment.torch == ""
    base = running.burst(length=LONG)
    assert wait_share(base) > 0.5
    assert set(base.samples) == {16}
    assert any(stage.name.startswith("Map") for stage in base.stages)
    free = running.burst(replay=True, length=LONG)
    assert mean_s(free) < mean_s(base) / 2
    assert wait_share(free) < 0.1


def test_a_rebuilt_pipeline_is_faster_and_the_users_own_is_as_it_was(conduct):
    running = conduct("loop.py", "--step-ms", "2")
    before = running.burst(length=LONG)
    fast = running.burst(length=LONG, tensorflow=own(running, **WIDE))
    after = running.burst(length=LONG)
    assert mean_s(fast) < mean_s(before) / 2
    assert mean_s(after) > mean_s(fast) * 1.5


def test_epochs_keep_their_length_and_validation_is_counted_apart(conduct):
    running = conduct("loop.py", "--step-ms", "0", "--length", "160", "--epochs", "24", "--print-batches")
    for settings in ({}, {"tensorflow": own(running, **WIDE)}, {}, {"tensorflow": own(running, prefetch=2)}):
        burst = running.burst(length=LONG, **settings)
        kinds = {stall.kind for stall in burst.stalls}
        assert {StallKind.EPOCH, StallKind.VALIDATION} <= kinds
    running.finish()
    printed = [line.split() for line in running.target.output_tail(5.0).splitlines() if line.startswith("BATCH")]
    epochs = [int(words[1]) for words in printed]
    assert {epochs.count(epoch) for epoch in set(epochs[1:-1]) - {epochs[0]}} == {10}


def test_a_map_that_cannot_run_in_parallel_fails_its_trial_and_nothing_else(conduct):
    running = conduct("loop.py", "--raises-in-parallel", "--step-ms", "0")
    running.burst()
    failed = running.failure(tensorflow=own(running, **WIDE))
    assert "not safe to run in parallel" in failed.reason
    assert running.burst().samples == [16] * len(running.burst().samples)


def test_the_threads_of_the_process_need_a_fresh_one(conduct):
    from gputune.probes.burst import Purpose
    from gputune.probes.protocol import Measure, Refused
    from gputune.probes.settings import Settings

    running = conduct("loop.py")
    wanted = Settings(tensorflow=own(running, intra_op_threads=1))
    assert isinstance(running.target.measure(Measure(id=99, purpose=Purpose.TRIAL, settings=wanted)), Refused)


def test_callbacks_that_save_and_log_and_validation_are_lines_of_their_own(conduct, tmp_path):
    running = conduct(
        "fit.py", "--step-ms", "0", "--latency-ms", "0", "--samples", "256", "--validate", "--save", "saved.keras"
    )
    burst = running.burst(length=Length(warmup_batches=2, min_batches=60, min_s=0.0, max_s=20.0, precision=10.0))
    kinds = [stall.kind for stall in burst.stalls]
    assert {StallKind.CHECKPOINT, StallKind.VALIDATION, StallKind.EPOCH} <= set(kinds)
    assert kinds.count(StallKind.CHECKPOINT) <= kinds.count(StallKind.EPOCH) + 1, "once an epoch, as the script says"


def test_workers_of_a_py_dataset_are_changed_between_two_batches(conduct):
    running = conduct("py_dataset.py", "--step-ms", "2")
    loader = running.hello.loader
    assert (loader.loader_class, loader.dataset_class) == ("PyDataset", "Remote")
    assert loader.settings.tensorflow == PipelineSettings(workers=1, use_multiprocessing=False, max_queue_size=10)
    base = running.burst()
    threads = running.burst(tensorflow=own(running, workers=4), length=LONG)
    processes = running.burst(tensorflow=own(running, workers=4, use_multiprocessing=True), length=LONG)
    after = running.burst()
    assert mean_s(threads) < mean_s(base) / 2
    assert mean_s(processes) < mean_s(base) / 1.5
    assert mean_s(after) > mean_s(threads) * 1.5
