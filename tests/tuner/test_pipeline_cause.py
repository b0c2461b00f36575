"""What a starved pipeline is told: which call is to blame, by line, and what a cache would cost."""

from __future__ import annotations

import msgspec
import pipeline_factory as factory
import pytest

from gputune import pipeline_cause, pipeline_stages, verdict
from gputune.cause import Cause
from gputune.probes.tensorflow.settings import PipelineSettings, PipelineStage, StageUse
from gputune.report import console


def test_the_costliest_call_is_named_with_its_line():
    found = pipeline_stages.costliest(factory.burst(), factory.site())
    assert found.place == "decode at project/train.py:20"
    assert found.share == pytest.approx(0.95)
    assert found.chosen == {"parallelism": 2}


def test_lines_are_not_guessed_where_tensorflow_fused_or_split_calls():
    stages = [*factory.STAGES, PipelineStage(operation="map", file=factory.FILE, line=30)]
    assert all(not used.place for used in pipeline_stages.of(factory.burst(), factory.site(stages=stages))[2:])


def test_versions_in_names_of_nodes_are_ignored():
    burst = msgspec.structs.replace(factory.burst(), stages=[StageUse(name="ParallelMapV2", busy_s=1.0, elements=9)])
    stages = [PipelineStage(operation="map", file=factory.FILE, line=20, function="decode")]
    assert pipeline_stages.of(burst, factory.site(stages=stages))[0].place == "decode at project/train.py:20"


def test_a_sequential_pipeline_is_said_to_be_one():
    cause, sentence = pipeline_cause.cause(factory.run(), factory.burst(), 800.0)
    assert cause is Cause.MAIN_THREAD
    assert "one element at a time: no num_parallel_calls, and nothing is prefetched" in sentence
    assert "project/train.py:20" in sentence


def test_a_py_dataset_with_one_worker_is_said_to_have_one():
    own = PipelineSettings(workers=1, use_multiprocessing=False, max_queue_size=10)
    run = factory.run(own, loader=factory.site(own, dataset_class="Photos", stages=[]))
    cause, sentence = pipeline_cause.cause(run, factory.burst(own), 800.0)
    assert cause is Cause.MAIN_THREAD
    assert "in Photos, one batch at a time: workers=1" in sentence


@pytest.mark.parametrize(("cores", "cause"), [(3.9, Cause.CORES), (0.3, Cause.STORAGE)])
def test_busy_cores_and_waiting_are_told_apart(cores, cause):
    own = factory.OWN.replace(map_parallelism=4, prefetch=2)
    run = factory.run(own)
    run = msgspec.structs.replace(run, machine=msgspec.structs.replace(run.machine, effective_cpus=4.0))
    assert pipeline_cause.cause(run, factory.burst(own, cores=cores), 800.0)[0] is cause


def test_a_cache_is_advised_with_its_memory_and_not_where_there_is_one():
    advice = pipeline_cause.cache_advice(factory.run())
    assert "cache()" in advice
    assert "estimated" in advice
    cached = factory.site(stages=[*factory.STAGES, PipelineStage(operation="cache")])
    assert pipeline_cause.cache_advice(factory.run(loader=cached)) == ""
    endless = factory.site(batches_per_epoch=None)
    assert pipeline_cause.cache_advice(factory.run(loader=endless)) == ""


def test_the_report_names_tensorflow_its_settings_and_the_export():
    run = factory.run()
    text = console.render(run)
    assert "map_parallelism=8 prefetch=2 private_threadpool_size=8" in " ".join(text.split())
    assert "MapAndBatch" in text
    assert "num_workers" not in text
    assert any("--format tfdata" in command for command in verdict.of(run).next_commands)
