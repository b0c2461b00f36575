from __future__ import annotations

import pytest

from gputune.arguments import check_device, parse_allowed, parse_restrictions, parse_size
from gputune.errors import UsageError


def test_set_takes_several_values_and_fix_one():
    settings, knobs = parse_restrictions(["num_workers=0,4,8"], ["pin_memory=true"])
    assert settings == {"num_workers": (0, 4, 8), "pin_memory": (True,)}
    assert knobs == {}


def test_a_name_like_no_setting_is_a_knob_whose_values_the_script_knows():
    assert parse_restrictions(["depth=2,4"], ["cache=true"]) == ({}, {"depth": ("2", "4"), "cache": ("true",)})


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("num_workers", "a setting needs a value", "example"),
        ("num_worker=4", "there is no setting 'num_worker'", "did you mean num_workers"),
        ("my-colour=red", "there is no setting 'my-colour'", "settings: num_workers"),
        ("num_workers=many", "takes a whole number, not 'many'", "example"),
        ("num_workers=-1", "takes 0 to 1024, not -1", "example"),
        ("pin_memory=perhaps", "takes true or false, not 'perhaps'", "example"),
    ],
)
def test_a_wrong_setting_is_named_with_the_rule_and_the_next_step(text, message, hint):
    with pytest.raises(UsageError, match=message) as caught:
        parse_restrictions([text], [])
    assert hint in caught.value.hint


def test_only_semantic_settings_have_to_be_allowed():
    assert parse_allowed(["in_order"]) == ("in_order",)
    with pytest.raises(UsageError, match="only in_order, deterministic can be allowed"):
        parse_allowed(["num_workers"])


@pytest.mark.parametrize(("text", "size"), [("500M", 500 << 20), ("2G", 2 << 30), ("1024", 1024), ("1.5kB", 1536)])
def test_sizes_are_read(text, size):
    assert parse_size("--scratch-limit", text) == size


@pytest.mark.parametrize("text", ["", "0", "-1G", "much", "5X"])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(UsageError, match="a size is a number above 0"):
        parse_size("--scratch-limit", text)


def test_a_device_is_cpu_or_cuda():
    for device in (None, "cpu", "cuda", "cuda:3"):
        check_device(device)
    with pytest.raises(UsageError, match="a device is cpu, cuda or cuda:N"):
        check_device("gpu0")
