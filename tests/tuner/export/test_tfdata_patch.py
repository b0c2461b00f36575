"""A patch of a pipeline that ``git apply`` takes, and refusals that name the value."""

from __future__ import annotations

import subprocess
from pathlib import Path

import msgspec
import pipeline_factory as factory
import pytest

from gputune.errors import InconclusiveError
from gputune.export import FORMATS
from gputune.probes.tensorflow.settings import AUTOTUNE, PipelineStage

TEXT = """\
import tensorflow as tf

data = (
    tf.data.Dataset.from_tensor_slices(paths)
    .map(load)  # decode
    .batch(32, drop_remainder=True)
)
"""
STAGES = (("map", 5, None), ("batch", 6, None))


def made(folder: Path, text: str = TEXT, stages=STAGES, good=None, own=factory.OWN):
    file = folder / "train.py"
    file.write_text(text)
    steps = [PipelineStage(operation=op, file=str(file), line=line, parallelism=calls) for op, line, calls in stages]
    good = good or own.replace(map_parallelism=4, prefetch=2)
    run = factory.run(own, good, loader=factory.site(own, file=str(file), line=6, stages=steps))
    return msgspec.structs.replace(run, cwd=str(folder), sources={}, created_at="2099-01-01T00:00:00+00:00"), file


def patched(folder: Path, **values) -> str:
    run, file = made(folder, **values)
    diff = FORMATS["patch"].render(run)
    subprocess.run(["git", "apply", "-"], input=diff.encode(), cwd=folder, check=True, capture_output=True)
    return file.read_text()


def test_arguments_are_added_and_a_prefetch_is_put_at_the_end(tmp_path):
    text = patched(tmp_path)
    assert ".map(load, num_parallel_calls=4)  # decode" in text
    assert ".batch(32, drop_remainder=True).prefetch(2)" in text
    compile(text, "train.py", "exec")


def test_literals_that_are_there_are_replaced_and_autotune_gets_its_name(tmp_path):
    text = TEXT.replace("load)", "load, 2)").replace("=True)", "=True).prefetch(1)")
    own = factory.OWN.replace(map_parallelism=2, prefetch=1)
    result = patched(
        tmp_path, text=text, own=own, stages=(("map", 5, 2), ("batch", 6, None), ("prefetch", 6, 1)),
        good=own.replace(map_parallelism=AUTOTUNE, prefetch=AUTOTUNE),
    )  # fmt: skip
    assert ".map(load, tf.data.AUTOTUNE)" in result
    assert ".prefetch(tf.data.AUTOTUNE)" in result


@pytest.mark.parametrize(
    ("text", "changes", "match"),
    [
        (TEXT, {"private_threadpool_size": 8}, "private_threadpool_size cannot be written as an argument"),
        (TEXT.replace("load)", "load, num_parallel_calls=CALLS)"), {}, "takes its value from CALLS"),
        (TEXT.replace("load)", "load, **options)"), {}, "takes its arguments from a mapping"),
        (TEXT.replace("load)", "load).map(again)"), {}, "no single plain call of map"),
    ],
)
def test_what_is_no_literal_is_named_and_nothing_is_edited(tmp_path, text, changes, match):
    run, file = made(tmp_path, text=text, good=factory.OWN.replace(map_parallelism=4, prefetch=2, **changes))
    with pytest.raises(InconclusiveError, match=match):
        FORMATS["patch"].render(run)
    assert file.read_text() == text
