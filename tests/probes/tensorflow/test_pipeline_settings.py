"""Values of pipeline settings from the command line, and as a script spells them. Needs no TensorFlow."""

from __future__ import annotations

import pytest

from gputune.probes.settings import Settings
from gputune.probes.tensorflow.settings import AUTOTUNE, PIPELINE_SETTINGS, PipelineSettings


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("map_parallelism", "AUTOTUNE", AUTOTUNE),
        ("map_parallelism", "8", 8),
        ("prefetch", "0", 0),
        ("autotune", "off", False),
        ("deterministic", "TRUE", True),
    ],
)
def test_values_are_read_as_they_are_written(name, text, value):
    assert PIPELINE_SETTINGS[name].parse(text) == value


@pytest.mark.parametrize(
    ("name", "text"), [("map_parallelism", "0"), ("workers", "autotune"), ("prefetch", "deep"), ("autotune", "maybe")]
)
def test_other_words_are_refused_with_the_rule(name, text):
    with pytest.raises(ValueError, match=f"{name} takes"):
        PIPELINE_SETTINGS[name].parse(text)


def test_a_torch_loader_stores_nothing_about_tensorflow():
    assert Settings().pipeline is None
    assert "tensorflow" not in str(Settings())


def test_differences_name_the_values_of_the_pipeline():
    before = Settings(tensorflow=PipelineSettings(map_parallelism=1, prefetch=0))
    after = Settings(tensorflow=PipelineSettings(map_parallelism=AUTOTUNE, prefetch=0))
    assert before.differences(after) == {"map_parallelism": (1, AUTOTUNE)}
    assert str(after) == "map_parallelism=AUTOTUNE prefetch=0"
