"""Comparisons call a change one only when it can be told from noise."""

from __future__ import annotations

import math

import msgspec
import pytest
import run_factory as factory

from gputune import compare, ledger, stats
from gputune.compare import Change
from gputune.errors import InconclusiveError
from gputune.record import Run


def plain(**values: float) -> Run:
    return factory.run(baseline=factory.burst(**values), proof=None, recommendation=None, trials=[])


def test_a_clear_gain_is_faster_and_its_line_is_named() -> None:
    found = compare.of(plain(), plain(wait_s=0.02, service_s=0.02))
    assert found.change is Change.FASTER
    assert found.ratio.value == pytest.approx(100 / 60, rel=0.01)
    assert found.moved is not None
    assert found.moved.line is ledger.Line.WAIT
    assert found.differences == []


def test_the_same_run_twice_is_no_change() -> None:
    found = compare.of(factory.run(), factory.run())
    assert found.change is Change.SAME
    assert found.moved is None


@pytest.mark.parametrize(
    ("value", "low", "high", "change"),
    [
        (1.10, 1.05, 1.15, Change.FASTER), (0.90, 0.85, 0.95, Change.SLOWER),
        (1.01, 1.005, 1.015, Change.SAME), (1.10, 0.95, 1.25, Change.UNCLEAR),
        (1.0, 0.0, math.inf, Change.UNCLEAR),
    ],
)  # fmt: skip
def test_verdicts_need_an_interval_without_one_and_an_effect_that_matters(
    value: float, low: float, high: float, change: Change
) -> None:
    assert compare.judge(stats.Estimate(value, low, high)) is change


def test_another_machine_is_named() -> None:
    other = msgspec.structs.replace(plain(), machine=msgspec.structs.replace(factory.MACHINE, gpu="NVIDIA A100"))
    assert compare.of(plain(), other).differences == ["GPU NVIDIA H100 80GB HBM3 -> NVIDIA A100"]


def test_a_run_that_measured_nothing_cannot_be_compared() -> None:
    with pytest.raises(InconclusiveError, match="measured nothing"):
        compare.of(factory.run(), factory.no_loader())
