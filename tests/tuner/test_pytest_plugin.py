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


def run(project: Path, *words: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "XDG_CACHE_HOME": str(project / "cache"), "CUDA_VISIBLE_DEVICES": ""}
    # Named on the command line, so that an installed entry point is not needed; loading it twice would be an error.
    command = [sys.executable, "-m", "pytest", "-p", "gputune.pytest_plugin", "-rA", "-p", "no:cacheprovider", *words]
    return subprocess.run(command, cwd=project, env=env, capture_output=True, text=True, timeout=200)


def test_failed_passed_and_undecided_checks_fail_pass_and_skip_a_test(project: Path) -> None:
    done = run(project)
    assert "FAILED test_loader.py::test_slow - Failed: fail         starvation < 10%" in done.stdout, done.stdout
    assert "PASSED test_loader.py::test_fast" in done.stdout
    assert "SKIPPED [1] " in done.stdout
    assert "inconclusive: gputune check: inconclusive, 1 of 1 check; gpu_util >= 80%" in done.stdout
    assert "takes ['args', 'budget_s', 'require', 'step_ms'], not ['colour']" in done.stdout
    assert "give a function of a module" in done.stdout


def test_two_processes_wait_for_each_other(project: Path) -> None:
    """What xdist does: workers are processes, and the lock is between processes."""
    env = {**os.environ, "XDG_CACHE_HOME": str(project / "cache"), "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "gputune.pytest_plugin", "-k", "test_no_gpu"]
    both = [subprocess.Popen(command, cwd=project, env=env, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate(timeout=150)[0] for process in both]
    assert all("1 skipped" in text for text in said), said
    assert not any("already" in text or "another gputune" in text for text in said)
