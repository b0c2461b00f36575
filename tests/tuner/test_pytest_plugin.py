"""The pytest plugin inside a project of its own, in a real pytest process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

DATA = """
import time, torch
from torch.utils.data import DataLoader, Dataset
class Items(Dataset):
    def __init__(self, delay): self.delay = delay
    def __len__(self): return 100_000
    def __getitem__(self, index):
        time.sleep(self.delay)
        return torch.zeros(8)
def slow(): return DataLoader(Items(0.004), batch_size=8)
def fast(): return DataLoader(Items(0.0), batch_size=8)
"""
TESTS = """
import pytest
from pkg import data
@pytest.mark.gputune(step_ms=20, budget_s=4)
def test_slow(gputune_check):
    gputune_check(data.slow, "starvation < 10%")
@pytest.mark.gputune(step_ms=20, budget_s=4, require=["starvation < 60%"])
def test_fast(gputune_check):
    gputune_check("pkg.data:fast")
@pytest.mark.gputune(step_ms=20, budget_s=1)
def test_no_gpu(gputune_check):
    gputune_check(data.fast, "gpu_util >= 80%")
@pytest.mark.gputune(colour="red")
def test_typo(gputune_check):
    pass
def test_local(gputune_check):
    gputune_check(lambda: None, "starvation < 10%", step_ms=1)
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "pkg").mkdir()
    (tmp_path / "pkg" / "__init__.py").touch()
    (tmp_path / "pkg" / "data.py").write_text(DATA)
    (tmp_path / "test_loader.py").write_text(TESTS)
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = --strict-markers\npythonpath = .\n")
    return tmp_path


def start(project: Path, *words: str) -> subprocess.Popen[str]:
    """Start pytest in the project."""
    env = {**os.environ, "XDG_CACHE_HOME": str(project / "cache"), "CUDA_VISIBLE_DEVICES": ""}
    # Named on the command line, so that an installed entry point is not needed; loading it twice would be an error.
    env["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    command = [sys.executable, "-m", "pytest", "-p", "gputune.pytest_plugin", "-rA", "-p", "no:cacheprovider", *words]
    return subprocess.Popen(command, cwd=project, env=env, stdout=subprocess.PIPE, text=True)


def test_checks_fail_pass_and_skip_tests_and_wait_for_those_of_another_process(project: Path) -> None:
    """Two processes at once are what xdist starts: the lock is between processes."""
    both = [start(project, "-k", "slow or typo or local"), start(project, "-k", "fast or no_gpu")]
    first, second = (process.communicate(timeout=200)[0] for process in both)
    assert "FAILED test_loader.py::test_slow - Failed: fail         starvation < 10%" in first, first
    assert "takes ['args', 'budget_s', 'require', 'step_ms'], not ['colour']" in first
    assert "give a function of a module" in first
    assert "PASSED test_loader.py::test_fast" in second, second
    assert "SKIPPED [1] " in second
    assert "inconclusive: gputune check: inconclusive, 1 of 1 check; gpu_util >= 80%" in second
    assert "another gputune campaign" not in first + second


def test_checks_of_xdist_workers_wait_for_each_other(project: Path) -> None:
    process = start(project, "-p", "xdist.plugin", "-n", "2", "--dist", "each", "-k", "slow or fast")
    said = process.communicate(timeout=220)[0]
    assert "created: 2/2 workers" in said, said
    # Each of the two workers ran both: undisturbed, the starved loader fails and the other one passes in either.
    assert said.count("FAILED test_loader.py::test_slow - Failed: fail         starvation < 10%") == 2, said
    assert said.count("PASSED test_loader.py::test_fast") == 2, said
    assert "another gputune campaign" not in said
