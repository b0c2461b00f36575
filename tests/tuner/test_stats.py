import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from gputune import stats
from gputune.probes.batch_means import t_quantile
from gputune.probes.burst import Burst, Purpose
from gputune.probes.settings import Settings


def burst(period, workers=2):
    return Burst(
        settings=Settings.make(num_workers=workers), purpose=Purpose.TRIAL, start_s=0.0, end_s=sum(period),
        period_s=list(period), wait_s=[0.0] * len(period), samples=[4] * len(period),
    )  # fmt: skip


@given(st.lists(st.floats(0.001, 10), min_size=1, max_size=100), st.integers(1, 12))
def test_the_interval_holds_the_mean(values, round_length):
    found = stats.mean_interval(values, round_length=round_length)
    assert found.low <= found.value <= found.high


@given(st.lists(st.floats(0.01, 1), min_size=4, max_size=60), st.floats(0.1, 10))
def test_throughput_scales_with_time(periods, factor):
    slow = stats.samples_per_s(burst([p * factor for p in periods]))
    assert slow * factor == pytest.approx(stats.samples_per_s(burst(periods)))


def test_intervals_of_independent_steps_cover_the_truth_about_as_often_as_they_claim():
    random = np.random.default_rng(3)
    found = [stats.mean_interval(random.gamma(4, 0.025, 80).tolist(), 0.90) for _ in range(300)]
    assert 0.84 <= np.mean([i.low <= 0.1 <= i.high for i in found]) <= 0.97


def test_one_group_is_not_enough_for_an_interval():
    assert math.isinf(stats.mean_interval([0.1, 0.2], round_length=8).high)


def test_an_empty_burst_has_no_rate():
    assert stats.samples_per_s(burst([])) == 0.0


def test_equal_pairs_give_a_ratio_of_one():
    found = stats.ratio_interval([1.02, 0.98, 1.01, 0.99])
    assert found.low < 1 < found.high


@pytest.mark.parametrize("degrees", range(1, 200, 7))
def test_t_quantiles_fall_towards_the_normal_one(degrees):
    assert t_quantile(0.95, degrees) > t_quantile(0.95, degrees + 1) > 1.96 - 1e-9


@given(st.lists(st.tuples(st.floats(0.0, 1.0), st.floats(0.001, 1.0)), min_size=1, max_size=80), st.integers(0, 8))
def test_the_share_of_waiting_lies_within_its_interval_and_that_within_nought_and_one(steps, workers):
    made = burst([wait + busy for wait, busy in steps], workers)
    found = stats.data_wait_estimate(structs.replace(made, wait_s=[wait for wait, _ in steps]))
    assert 0.0 <= found.low <= found.value <= found.high <= 1.0


def test_the_interval_of_the_share_of_waiting_covers_the_truth_about_as_often_as_it_claims():
    random = np.random.default_rng(5)
    covered = 0
    for _ in range(300):
        waits, busy = random.gamma(2, 0.01, 80), random.gamma(30, 0.003, 80)
        made = structs.replace(burst((waits + busy).tolist(), 0), wait_s=waits.tolist())
        found = stats.data_wait_estimate(made)
        covered += found.low <= 0.02 / (0.02 + 0.09) <= found.high
    assert 0.84 <= covered / 300 <= 0.97


@given(st.lists(st.floats(0.001, 10), min_size=16, max_size=60), st.floats(0.1, 10))
def test_intervals_scale_with_the_unit(values, factor):
    found, scaled = stats.mean_interval(values), stats.mean_interval([value * factor for value in values])
    assert scaled.value == pytest.approx(found.value * factor)
    assert scaled.high - scaled.low == pytest.approx((found.high - found.low) * factor, rel=1e-6, abs=1e-12)


@given(st.lists(st.floats(0.001, 10), min_size=16, max_size=60))
def test_a_higher_confidence_never_gives_a_narrower_interval(values):
    widths = [found.high - found.low for found in (stats.mean_interval(values, c) for c in (0.90, 0.95, 0.99))]
    assert widths == sorted(widths)
