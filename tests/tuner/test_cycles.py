"""Whole stretches from checkpoint to checkpoint, counted on bursts whose numbers are known."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gputune import cycles, stats
from gputune.probes.burst import Burst, Purpose, Stall, StallKind
from gputune.probes.settings import Settings

STEP_S, SAVE_S, SAMPLES = 0.02, 0.1, 8


def burst(batches: int, saves_after: list[int], *, epochs: tuple[int, ...] = (), save_s: float = SAVE_S) -> Burst:
    """A burst of ``batches`` after three discarded ones; a save after each numbered batch, an epoch before each."""
    stalls = [Stall(StallKind.CHECKPOINT, number * STEP_S, save_s, number) for number in saves_after]
    stalls += [Stall(StallKind.EPOCH, number * STEP_S, 0.5, number) for number in epochs]
    kept = batches - len(epochs)
    return Burst(
        settings=Settings(), purpose=Purpose.TRIAL, start_s=0.0, end_s=batches * STEP_S,
        period_s=[STEP_S] * kept, wait_s=[0.0] * kept, samples=[SAMPLES] * kept, stalls=stalls,
        batches_total=3 + batches, warmup_batches=3,
    )  # fmt: skip


def test_a_cycle_holds_its_steps_and_one_save() -> None:
    found = cycles.of_burst(burst(50, [5, 15, 25]))
    assert found is not None
    assert (found.count, found.batches, found.samples) == (2, 20, 20 * SAMPLES)
    assert found.seconds == pytest.approx(20 * STEP_S + 2 * SAVE_S)
    assert found.samples_per_s == pytest.approx(10 * SAMPLES / (10 * STEP_S + SAVE_S))


@given(st.integers(2, 30), st.integers(0, 29), st.integers(61, 200))
def test_where_a_burst_begins_and_ends_in_a_cycle_does_not_matter(every: int, offset: int, batches: int) -> None:
    found = cycles.of_burst(burst(batches, list(range(3 + offset % every, 3 + batches, every))))
    assert found is not None
    assert found.samples_per_s == pytest.approx(every * SAMPLES / (every * STEP_S + SAVE_S))
    assert found.seconds_each == pytest.approx(every * STEP_S + SAVE_S)


def test_two_saves_between_two_batches_are_one_checkpoint() -> None:
    found = cycles.of_burst(burst(40, [5, 5, 15, 15]))
    assert found is not None
    assert (found.count, found.calls_s) == (1, pytest.approx(2 * SAVE_S))


@pytest.mark.parametrize("saves", [[], [5], [5, 5]])
def test_without_two_checkpoints_nothing_is_claimed(saves: list[int]) -> None:
    assert cycles.of_burst(burst(40, saves)) is None
    assert cycles.samples_per_s(burst(40, saves)) is None


def test_the_first_batch_of_an_epoch_is_in_no_cycle() -> None:
    found = cycles.of_burst(burst(40, [5, 25], epochs=(10, 20)))
    assert found is not None
    assert found.batches == 20 - 2
    assert found.seconds == pytest.approx(18 * STEP_S + SAVE_S)


def test_free_checkpoints_leave_the_ordinary_rate() -> None:
    free = burst(60, [5, 15, 25, 35], save_s=0.0)
    assert cycles.samples_per_s(free) == pytest.approx(stats.samples_per_s(free))
