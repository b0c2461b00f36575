"""Exports for TensorFlow: every edit by its line, code that runs, and no torch arguments for a pipeline."""

from __future__ import annotations

import ast

import pipeline_factory as factory
import pytest
import run_factory

from gputune import config
from gputune.errors import InconclusiveError
from gputune.export import FORMATS
from gputune.probes.tensorflow.settings import AUTOTUNE, PipelineSettings, PipelineStage

WORKERS = PipelineSettings(workers=1, use_multiprocessing=False, max_queue_size=10)


def test_each_call_to_edit_is_named_with_its_line():
    text = FORMATS["tfdata"].render(factory.run())
    assert f"{factory.FILE}:20 (decode)  .map(..., num_parallel_calls=8)" in text
    assert f"{factory.FILE}:21  after it .prefetch(2)" in text
    assert "options.threading.private_threadpool_size = 8" in text
    ast.parse(text)


def test_autotune_is_written_as_tensorflow_writes_it():
    text = FORMATS["tfdata"].render(factory.run(good=factory.OWN.replace(map_parallelism=AUTOTUNE, prefetch=AUTOTUNE)))
    assert "num_parallel_calls=tf.data.AUTOTUNE" in text
    assert ".prefetch(tf.data.AUTOTUNE)" in text
    assert "def " not in text


def test_a_prefetch_that_is_there_is_replaced():
    stages = [*factory.STAGES, PipelineStage(operation="prefetch", file=factory.FILE, line=22, parallelism=1)]
    own = factory.OWN.replace(prefetch=1)
    text = FORMATS["tfdata"].render(factory.run(own, own.replace(prefetch=4), loader=factory.site(own, stages=stages)))
    assert f"{factory.FILE}:22  replace this prefetch by .prefetch(4)" in text


def test_calls_before_a_cache_are_not_to_be_edited():
    stages = [factory.STAGES[1], PipelineStage(operation="cache", file=factory.FILE, line=30), factory.STAGES[2]]
    text = FORMATS["tfdata"].render(factory.run(loader=factory.site(stages=stages)))
    assert ".map(" not in text


def test_a_py_dataset_gets_its_arguments():
    run = factory.run(WORKERS, WORKERS.replace(workers=4), loader=factory.site(WORKERS, dataset_class="Photos"))
    text = FORMATS["keras"].render(run)
    names: dict[str, object] = {}
    exec(text, names)
    assert names["py_dataset_kwargs"] == {"workers": 4, "use_multiprocessing": False, "max_queue_size": 10}
    with pytest.raises(InconclusiveError, match="workers of a PyDataset"):
        FORMATS["tfdata"].render(run)


def test_keras_gives_what_tfdata_gives_for_a_pipeline():
    assert FORMATS["keras"].render(factory.run()) == FORMATS["tfdata"].render(factory.run())


@pytest.mark.parametrize("name", ["python", "huggingface", "lightning", "hydra", "env"])
def test_formats_of_torch_refuse_a_pipeline(name):
    with pytest.raises(InconclusiveError, match="tuned TensorFlow"):
        FORMATS[name].render(factory.run())


@pytest.mark.parametrize("name", ["tfdata", "keras"])
def test_formats_of_tensorflow_refuse_a_torch_run(name):
    with pytest.raises(InconclusiveError, match="tuned a torch DataLoader"):
        FORMATS[name].render(run_factory.run())


@pytest.mark.parametrize("name", ["yaml", "json", "toml"])
def test_configurations_hold_the_pipeline_and_are_read_back(name):
    text = FORMATS[name].render(factory.run())
    read = config.parse(text.encode(), FORMATS[name].suffix, "made").loaders[0].settings
    assert read.pipeline == factory.GOOD
