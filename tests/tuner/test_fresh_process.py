"""Where a running iterator cannot be rebuilt, each trial gets a process of its own, and says the same."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gputune.probes.burst import Burst, Infeasible, Purpose
from gputune.probes.protocol import Length
from gputune.probes.settings import Settings
from gputune.script import parse
from gputune.target_bench import TargetBench

TARGET = Path(__file__).parents[1] / "targets" / "renamed.py"
SHORT = Length(warmup_batches=1, min_batches=8, min_s=0.0, max_s=5.0, precision=10.0)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[TargetBench]:
    made = TargetBench(parse([str(TARGET)], None), cwd=tmp_path, log_folder=tmp_path)
    yield made
    made.stop()


def period_s(result: Burst | Infeasible) -> float:
    assert isinstance(result, Burst), result
    return sum(result.period_s) / len(result.period_s)


def test_baseline_trial_and_ceiling_are_measured_by_starting_the_script_again(bench):
    hello = bench.start()
    own = hello.loader.settings
    assert not hello.environment.hot_swap
    assert hello.environment.hot_swap_reason
    first = hello.environment.pid
    baseline = period_s(bench.measure(own, Purpose.BASELINE, SHORT))
    ceiling = period_s(bench.measure(own, Purpose.CEILING, SHORT, replay=True))
    wanted = Settings.make(num_workers=2)
    trial = bench.measure(wanted, Purpose.TRIAL, SHORT)
    assert isinstance(trial, Burst)
    assert trial.settings == wanted
    assert bench.loaders[0].settings == wanted, "applied where the loader was constructed"
    again = period_s(bench.measure(own, Purpose.CEILING, SHORT, replay=True))
    assert bench._target is not None
    assert bench._target.pid != first
    # 16 ms of waiting a batch, against none: wide margins for a noisy machine.
    assert ceiling < 0.5 * baseline
    assert again < 0.5 * baseline, "a fresh process has no batches yet to replay"
    assert period_s(trial) < 0.9 * baseline
