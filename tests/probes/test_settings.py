from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gputune.probes.settings import SETTINGS, Settings
from gputune.probes.tensorflow.settings import PIPELINE_SETTINGS, PipelineSettings

values = st.fixed_dictionaries(
    {
        "num_workers": st.integers(0, 8),
        "prefetch_factor": st.none() | st.integers(1, 16),
        "pin_memory": st.booleans(),
        "persistent_workers": st.booleans(),
        "in_order": st.booleans(),
    }
)


@given(values)
def test_whatever_is_asked_for_torch_accepts_the_settings_made_of_it(asked):
    settings = Settings.make(**asked)
    loader = torch.utils.data.DataLoader([1, 2, 3], **settings.dataloader_kwargs())
    assert loader.num_workers == settings.num_workers
    assert loader.prefetch_factor == settings.prefetch_factor
    assert loader.persistent_workers == settings.persistent_workers


@given(values, values)
def test_differences_are_what_replacing_them_undoes(first, second):
    a, b = Settings.make(**first), Settings.make(**second)
    assert a.replace(**{name: theirs for name, (_, theirs) in a.differences(b).items()}) == b
    assert a.differences(a) == {}


def test_every_field_has_a_row_in_the_table():
    assert {*SETTINGS, "knobs", "tensorflow"} == set(Settings.__struct_fields__)
    assert set(PIPELINE_SETTINGS) == set(PipelineSettings.__struct_fields__)


@pytest.mark.parametrize(("text", "value"), [("true", True), ("OFF", False), ("1", True)])
def test_switches_are_read_in_the_usual_words(text, value):
    assert SETTINGS["pin_memory"].parse(text) is value


def test_what_belongs_to_the_process_is_no_argument_of_a_loader():
    settings = Settings.make(num_workers=2, async_checkpoint="thread", async_logging=True)
    assert settings.process_wide() == {"async_checkpoint": "thread", "async_logging": True}
    assert settings.loader_only() == Settings.make(num_workers=2)
    assert not settings.dataloader_kwargs().keys() & settings.process_wide().keys()
    assert str(settings).endswith("async_checkpoint=thread async_logging=True")


def test_a_kind_of_writer_is_read_by_name_or_as_on_and_off():
    row = SETTINGS["async_checkpoint"]
    assert [row.parse(text) for text in ("on", "off", "process")] == ["thread", "off", "process"]
    with pytest.raises(ValueError, match="async_checkpoint takes off, thread, process or on, not 'fast'"):
        row.parse("fast")
