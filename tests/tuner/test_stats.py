import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

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
