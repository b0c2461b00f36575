"""A short version of the benchmark that counts the false alarms of ``gputune check``."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.heavy


def test_an_unchanged_script_does_not_fail_and_a_slow_down_by_a_third_does(tmp_path: Path) -> None:
    result = tmp_path / "gate.json"
    words = ["--same", "2", "--small", "1", "--large", "1", "--budget", "25", "--output", str(result)]
    done = subprocess.run(
        [sys.executable, str(ROOT / "benchmarks" / "gate.py"), *words],
        capture_output=True, text=True, timeout=230, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    summary = json.loads(result.read_text())["summary"]
    assert summary["same"]["fail"] == 0, done.stdout
    assert summary["small"]["pass"] == 0, done.stdout
    assert summary["large"]["fail"] == 1, done.stdout
