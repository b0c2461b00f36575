import numpy as np
import pytest

from gputune.probes.burst import Burst, Purpose, WorkerBatch
from gputune.probes.settings import Settings
from gputune.shape import Shape


def burst(walls, cpu_share=1.0):
    batches = [WorkerBatch(n % 2, float(n), wall, 0.0, cpu_share * wall, 0.0) for n, wall in enumerate(walls)]
    return Burst(
        settings=Settings.make(num_workers=2), purpose=Purpose.TRIAL, start_s=0.0, end_s=60.0,
        period_s=[1.0] * len(walls), wait_s=[0.5] * len(walls), samples=[8] * len(walls), workers=batches,
    )  # fmt: skip


ORDINARY = [0.9, 1.0, 1.1, 1.0, 0.95, 1.05, 1.0, 1.0, 0.9, 1.1]
SLOW = [*ORDINARY[:-1], 12.0]


def test_even_batches_have_no_tail_and_nothing_to_correct():
    shape = Shape([burst(ORDINARY), burst(ORDINARY)], [False, False])
    assert not shape.tailed
    assert np.concatenate(shape.levels) == pytest.approx(1.0)


def test_a_burst_without_slow_batches_is_expected_to_have_some():
    shape = Shape([burst(SLOW), burst(ORDINARY)], [False, False])
    lucky, unlucky = shape.levels[1][0], shape.levels[0][0]
    assert shape.tailed
    assert lucky > 1.3
    assert unlucky < 1.0


def test_bursts_under_different_load_agree_on_the_tail():
    shape = Shape([burst(SLOW), burst([3 * wall for wall in SLOW])], [False, False])
    assert shape.levels[0] == pytest.approx(shape.levels[1])


def test_drawn_batches_have_mean_one_and_keep_the_slow_ones():
    drawn = Shape([burst(SLOW, cpu_share=0.5)], [True]).draw(480)
    assert drawn.shape == (2, 480)
    assert drawn.mean(axis=1) == pytest.approx(1.0)
    assert (drawn > 3).mean() == pytest.approx(0.1, abs=0.02)


def test_a_part_too_small_to_measure_varies_with_the_other():
    own = Shape([burst(SLOW, cpu_share=0.001)], [True]).own[0]
    assert own[0] == pytest.approx(own[1])
