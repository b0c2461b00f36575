"""A knob in the user's code: the default outside a campaign, the trial's value inside one."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest

import gputune
from gputune.probes import knob
from gputune.probes.settings import Settings


@pytest.fixture(autouse=True)
def no_knobs(monkeypatch) -> Iterator[None]:
    monkeypatch.delenv(knob.VARIABLE, raising=False)
    knob._declared.clear()
    yield
    knob._declared.clear()


def test_outside_a_campaign_the_first_choice_is_the_value():
    assert gputune.knob("depth", (4, 8)) == 4
    assert gputune.knob("cache", [False, True]) is False
    assert knob.changed() == ()


def test_the_environment_sets_a_value_of_the_choices_type(monkeypatch):
    monkeypatch.setenv(knob.VARIABLE, json.dumps({"depth": 8, "other": 1}))
    assert gputune.knob("depth", (4, 8)) == 8
    assert knob.changed() == (("depth", 8),)


@pytest.mark.parametrize("text", ['{"depth": 9}', "[1]", "{"])
def test_a_value_that_is_no_choice_is_said_and_the_default_stays(monkeypatch, capsys, text):
    monkeypatch.setenv(knob.VARIABLE, text)
    assert gputune.knob("depth", (4, 8)) == 4
    assert "gputune:" in capsys.readouterr().err


def test_a_knob_read_while_training_follows_a_trial_and_back():
    gputune.knob("depth", (4, 8))
    began = time.monotonic()
    gputune.knob("depth", (4, 8))
    assert [(k.name, k.live) for k in knob.declared(began)] == [("depth", True)]
    assert knob.settle([("depth", 8)])
    assert gputune.knob("depth", (4, 8)) == 8
    assert knob.settle([])
    assert gputune.knob("depth", (4, 8)) == 4


def test_a_knob_read_only_before_training_asks_for_a_fresh_process_and_changes_nothing():
    gputune.knob("depth", (4, 8))
    gputune.knob("step", (1, 2))
    began = time.monotonic()
    gputune.knob("step", (1, 2))
    knob.declared(began)
    assert not knob.settle([("depth", 8), ("step", 2)])
    assert gputune.knob("step", (1, 2)) == 1
    assert knob.settle([("step", 2)])


def test_what_makes_no_knob_is_refused_by_name():
    with pytest.raises(ValueError, match="'a b'"):
        gputune.knob("a b", (1, 2))
    with pytest.raises(ValueError, match="needs choices"):
        gputune.knob("depth", ())
    with pytest.raises(TypeError, match="None"):
        gputune.knob("depth", (1, None))  # type: ignore[type-var]
    gputune.knob("depth", (4, 8))
    with pytest.raises(ValueError, match="declared with"):
        gputune.knob("depth", (4, 9))


def test_settings_with_knobs_differ_by_the_knob_and_say_so():
    own, tried = Settings.make(num_workers=2), Settings.make(num_workers=2, knobs=(("depth", 8),))
    assert own.differences(tried) == {"depth": (None, 8)}
    assert str(tried).endswith("depth=8")
    assert tried.replace(num_workers=0).knob_values == {"depth": 8}
    assert tried.replace(knobs=()) == own
    assert len({own, tried}) == 2
