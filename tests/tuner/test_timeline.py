"""Steps laid out in time, and interval arithmetic."""

from __future__ import annotations

import pytest
import run_factory as factory
from hypothesis import given
from hypothesis import strategies as st

from gputune import timeline
from gputune.probes.burst import Stall, StallKind

BOUNDS = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), max_size=8)


def points(intervals: list[timeline.Interval]) -> set[int]:
    return {point for start, end in intervals for point in range(int(start), int(end))}


@given(BOUNDS, BOUNDS)
def test_interval_arithmetic_agrees_with_sets_of_points(first: list, second: list) -> None:
    a, b = timeline.union(first), timeline.union(second)
    assert points(a) == points([pair for pair in first if pair[1] > pair[0]])
    assert points(timeline.subtract(a, b)) == points(a) - points(b)
    assert timeline.length(a) == len(points(a))


def test_steps_fill_the_measured_part_and_end_with_the_burst() -> None:
    burst = factory.burst()
    steps = timeline.steps(burst)
    assert steps[0].start_s == pytest.approx(1000.3)
    assert steps[-1].end_s == pytest.approx(burst.end_s)
    assert all(step.start_s <= step.wait_from_s <= step.end_s for step in steps)


def test_steps_leave_room_for_an_epoch_end() -> None:
    burst = factory.burst(stalls=(Stall(StallKind.EPOCH, 1002.0, 0.8, 17),))
    steps = timeline.steps(burst)
    assert steps[-1].end_s == pytest.approx(burst.end_s, abs=0.06)
    overlap = [min(step.end_s, 1002.8) - max(step.start_s, 1002.0) for step in steps]
    assert max(overlap) < 0.06
