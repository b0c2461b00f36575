"""``gputune profile`` from end to end on unmodified TensorFlow scripts: three badly written, one healthy."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gputune import record
from gputune.record import Outcome, Run

TARGETS = Path(__file__).parent / "targets"
EXAMPLES = Path(__file__).parents[2] / "examples"
pytestmark = pytest.mark.heavy
AT_LEAST = 1.5
"""The gain there is, is 2 to 5 times; neighbours on the machine take some of it."""


def gputune(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "XDG_CACHE_HOME": str(folder / "cache")}
    command = [sys.executable, "-m", "gputune", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=230)


def profiled(folder: Path, script: Path, *arguments: str) -> tuple[Run, str]:
    done = gputune(folder, "profile", "--budget", "20", str(script), *arguments)
    assert done.returncode == 0, done.stderr
    return record.load(next((folder / "results").iterdir())), done.stderr


@pytest.mark.parametrize(
    ("script", "blamed"),
    [
        ("fit.py", "no num_parallel_calls, and nothing is prefetched"),
        ("loop.py", "no num_parallel_calls, and nothing is prefetched"),
        ("py_dataset.py", "workers=1"),
    ],
)
def test_a_badly_written_script_ends_with_a_proved_gain_that_can_be_applied(tmp_path: Path, script: str, blamed: str):
    run, shown = profiled(tmp_path, TARGETS / script)
    assert run.outcome is Outcome.RECOMMENDED, shown
    assert run.recommendation.low > 1.0
    assert run.recommendation.ratio > AT_LEAST
    assert blamed in " ".join(shown.split())
    exported = gputune(tmp_path, "export", "last", "--format", "keras")
    compile(exported.stdout, "exported.py", "exec")
    applied = gputune(tmp_path, "run", str(TARGETS / script), "--seconds", "1")
    assert "gputune: applied to the dataset" in applied.stderr
    assert "RATE" in applied.stdout


def test_a_healthy_script_ends_with_nothing_to_gain(tmp_path: Path):
    run, shown = profiled(tmp_path, EXAMPLES / "tf_synthetic.py")
    assert run.outcome is Outcome.NOTHING_TO_GAIN, shown
    assert run.trials == []
    assert "Your loader is fine" in shown
