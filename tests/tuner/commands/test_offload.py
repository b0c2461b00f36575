"""Checkpoints that stall a script: found, moved off the training thread, proved, exported and applied."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gputune import record

pytestmark = pytest.mark.heavy
TARGETS = Path(__file__).parents[2] / "targets"


@pytest.fixture
def project(shell, tmp_path: Path) -> Path:
    """A folder whose disk is slow: what is tested is whose time a write takes, not how fast this machine is."""
    compiler = shutil.which("cc") or pytest.skip("needs a C compiler to play a slow disk")
    library = tmp_path / "slow_disk.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, TARGETS / "slow_disk.c", "-ldl"], check=True)
    shell.env["LD_PRELOAD"] = str(library)
    shutil.copy(TARGETS / "checkpointing.py", shell.cwd / "train.py")
    (shell.cwd / "out").mkdir()
    return shell.cwd


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def trained_s(stdout: str) -> float:
    found = re.search(r"TRAINED ([0-9.]+)", stdout)
    assert found is not None, stdout
    return float(found[1])


def test_a_checkpoint_that_stalls_training_is_taken_off_its_thread_and_proved(shell, project):
    (project / "out" / "kept.txt").write_text("the user's own")
    before = digests(project / "out")
    for budget_s in (40, 80):  # with busy neighbours the interval of the first may be too wide
        done = shell.run("profile", "--budget", budget_s, "train.py", "out", 100_000)
        assert done.returncode == 0, done.stderr
        assert digests(project / "out") == before, "nothing of the user's was touched"
        run = record.load(max((project / "results").glob("*-train")))
        if run.recommendation is not None:
            break
    assert run.recommendation is not None, done.stderr
    chosen = run.recommendation.settings.async_checkpoint
    assert chosen in ("thread", "process")
    assert run.recommendation.low > 1.0
    assert f"async_checkpoint={chosen}" in done.stdout + done.stderr

    exported = shell.run("export", "--format", "yaml").stdout
    assert f"async_checkpoint: {chosen}" in exported
    snippet = shell.run("export", "--format", "python").stdout
    assert f"gputune.install_async_save({chosen!r})" in snippet
    patch = shell.run("export", "--format", "patch")
    assert "is applied by gputune run" in patch.stdout + patch.stderr


def test_under_run_the_files_are_the_same_bytes_and_training_is_faster(shell, project):
    settings = "num_workers: 0\n    async_checkpoint: thread"
    loader = f"- file: train.py\n  line: {_loader_line()}\n  settings:\n    {settings}\n"
    (project / "gputune.yaml").write_text(f"schema_version: 1\nloaders:\n{loader}")
    plain_s, run_s = [], []
    # Alternating, and the calmest of each counts: neighbours come and go.
    for _ in range(3):
        plain = subprocess.run(
            [sys.executable, "train.py", "out", "72"],
            cwd=project,
            env=shell.env,
            capture_output=True,
            text=True,
            check=True,
        )
        plain_s.append(trained_s(plain.stdout))
        theirs = digests(project / "out")
        shutil.rmtree(project / "out")
        (project / "out").mkdir()
        applied = shell.run("run", "--config", "gputune.yaml", "train.py", "out", 72)
        assert applied.returncode == 0, applied.stderr
        assert "applied to the process: async_checkpoint=thread" in applied.stderr
        run_s.append(trained_s(applied.stdout))
        assert len(theirs) == 3
        assert digests(project / "out") == theirs
    assert min(run_s) < min(plain_s), (run_s, plain_s)


def _loader_line() -> int:
    lines = (TARGETS / "checkpointing.py").read_text().splitlines()
    return next(number for number, text in enumerate(lines, 1) if "DataLoader(Numbers()" in text)
