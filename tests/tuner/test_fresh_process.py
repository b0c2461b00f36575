"""Where a running iterator cannot be rebuilt, each trial gets a process of its own, and says the same."""

from __future__ import annotations

import importlib.util
import os
import re
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


LATER_TORCH = """
import importlib.machinery, re, sys


class Later:
    def find_spec(self, name, path=None, target=None):
        if name == "torch.utils.data.dataloader":
            return importlib.machinery.PathFinder.find_spec(name, [{folder!r}], target)


sys.meta_path.insert(0, Later())
"""
"""A sitecustomize of the user's that brings a torch of the future: the same code under other names."""


@pytest.mark.parametrize("name", ["_next_index", "_shutdown_workers", "_sampler_iter", "_try_get_data"])
def test_a_torch_without_a_private_name_is_measured_all_the_same_and_the_name_is_said(tmp_path, monkeypatch, name):
    found = importlib.util.find_spec("torch")
    assert found is not None
    real = Path(str(found.origin)).parent / "utils" / "data" / "dataloader.py"
    later = tmp_path / "later"
    later.mkdir()
    source, count = re.subn(rf"\b{name}\b", f"{name}_as_of_later", real.read_text())
    assert count > 0
    (later / "dataloader.py").write_text(source)
    (later / "sitecustomize.py").write_text(LATER_TORCH.format(folder=str(later)))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(later), os.environ.get("PYTHONPATH", "")]))
    said: list[str] = []
    script = parse([str(TARGET.with_name("later.py"))], None)
    bench = TargetBench(script, cwd=tmp_path, log_folder=tmp_path, say=said.append)
    try:
        hello = bench.start()
        assert not hello.environment.hot_swap
        assert name in hello.environment.hot_swap_reason
        assert any(name in text and "fresh process" in text for text in said)
        own, wanted = hello.loader.settings, Settings.make(num_workers=2)
        assert period_s(bench.measure(own, Purpose.BASELINE, SHORT)) > 0.008
        trial = bench.measure(wanted, Purpose.TRIAL, SHORT)
        assert isinstance(trial, Burst)
        assert {stamp.worker for stamp in trial.workers} == {0, 1}
        assert bench.loaders[0].settings == wanted
    finally:
        bench.stop()
