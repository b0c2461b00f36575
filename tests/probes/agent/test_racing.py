from types import SimpleNamespace

import pytest

from gputune.probes.agent import builder
from gputune.probes.agent.builder import BurstBuilder
from gputune.probes.burst import Purpose
from gputune.probes.protocol import Length, Measure
from gputune.probes.settings import Settings

LENGTH = Length(warmup_batches=1, min_batches=40, min_s=1.0, max_s=30.0)


@pytest.fixture
def burst_of(monkeypatch):
    """Return a function from batch periods in seconds to the builder after as many of them as it took."""

    def run(periods, abandon_below):
        now = [100.0]
        monkeypatch.setattr(builder, "time", SimpleNamespace(monotonic=lambda: now[0]))
        order = Measure(id=1, purpose=Purpose.TRIAL, settings=Settings(), length=LENGTH, abandon_below=abandon_below)
        built = BurstBuilder(order, 0)
        built.began(0.0)
        for count, period_s in enumerate(periods):
            asked, now[0] = now[0], now[0] + period_s
            if built.batch(asked, now[0], 32, -1, count, False):
                break
        return built

    return run


def test_a_clearly_losing_burst_ends_long_before_its_least_number_of_batches(burst_of):
    built = burst_of([0.1, 0.101] * 40, abandon_below=1000.0)
    assert built.abandoned
    assert len(built.period_s) < LENGTH.min_batches / 2


def test_a_burst_that_is_as_fast_as_the_best_runs_its_full_length(burst_of):
    built = burst_of([0.1, 0.101] * 40, abandon_below=0.8 * 320.0)
    assert not built.abandoned
    assert len(built.period_s) >= LENGTH.min_batches


def test_one_slow_batch_does_not_lose_a_race(burst_of):
    built = burst_of([0.03, 0.031, 3.0] + [0.03, 0.031] * 40, abandon_below=800.0)
    assert not built.abandoned


def test_nothing_races_without_a_rate_to_beat(burst_of):
    assert not burst_of([0.1, 0.101] * 40, abandon_below=None).abandoned
