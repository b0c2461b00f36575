"""Numbers as people read them."""

from __future__ import annotations

import math

import pytest

from gputune import numbers


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0 s"), (4.2e-4, "420 us"), (0.0084, "8.4 ms"), (3.21, "3.21 s"), (240, "4 min"), (math.nan, "?")],
)
def test_durations_come_in_their_natural_unit(value: float, text: str) -> None:
    assert numbers.seconds(value) == text


@pytest.mark.parametrize(
    ("share", "text"), [(0.61, "61 %"), (0.0098, "1 %"), (0.004, "0.4 %"), (1e-5, "<0.1 %"), (0, "0 %")]
)
def test_a_small_share_never_reads_as_none(share: float, text: str) -> None:
    assert numbers.percent(share) == text


def test_sizes_factors_and_plurals() -> None:
    assert numbers.size(4.5 * 2**20) == "4.5 MiB"
    assert numbers.times(2.5999) == "2.60x"
    assert numbers.times(12.34) == "12.3x"
    assert numbers.rate(312.4) == "312 samples/s"
    assert numbers.plural(1, "batch") == "1 batch"
    assert numbers.plural(2, "batch") == "2 batches"
    assert numbers.cores(10.97) == "11"
    assert numbers.cores(1.42) == "1.4"


@pytest.mark.parametrize(
    ("spread", "text"),
    [(0.03, "2.57x"), (0.15, "2.6x (! +-15 %)"), (0.8, "3x (! +-80 %)"), (math.inf, "3x (! spread unknown)")],
)
def test_a_ratio_has_no_more_digits_than_its_interval_supports(spread: float, text: str) -> None:
    assert numbers.times(2.57, spread) == text


@pytest.mark.parametrize(("count", "text"), [(123_456.0, "120,000"), (98.7, "99"), (7.0, "7"), (math.inf, "?")])
def test_an_extrapolated_count_has_two_digits(count: float, text: str) -> None:
    assert numbers.approximate(count) == text
