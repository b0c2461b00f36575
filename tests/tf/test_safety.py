"""The safety rules of the PyTorch path hold for TensorFlow: files untouched, faults survived, nothing left behind."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from conducting import Conducted

from gputune.probes.protocol import Length, Measure
from gputune.probes.settings import Settings
from gputune.probes.target import Target, TargetHangs

TARGETS = Path(__file__).parent / "targets"


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_a_profile_leaves_every_file_as_it_was_and_no_process_behind(tmp_path: Path):
    project = tmp_path / "project"
    project.mkdir()
    shutil.copy(TARGETS / "fit.py", project)
    (project / "saved.keras").write_bytes(b"the weights of last week")
    (project / "saved.keras.csv").write_text("epoch,loss\n")
    before = digests(project)
    arguments = ["--samples", "256", "--latency-ms", "0", "--step-ms", "0", "--save", "saved.keras"]
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")}
    command = [sys.executable, "-m", "gputune", "profile", "--no-search", "--quiet", "--results-dir", "../results"]
    done = subprocess.run(
        [*command, "fit.py", *arguments], cwd=project, env=environment, capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 0, done.stderr
    assert digests(project) == before
    assert not [process for process in psutil.process_iter(["cmdline"]) if str(project) in _words(process)]


def _words(process: psutil.Process) -> str:
    return " ".join(process.info["cmdline"] or [])


@pytest.mark.parametrize("fault", ["loop.py --hangs-in-parallel", "py_dataset.py --kill-worker"])
def test_a_trial_that_hangs_is_given_up_and_everything_it_started_is_gone(tmp_path: Path, fault: str):
    script, flag = fault.split()
    target = Target([sys.executable, str(TARGETS / script), flag], cwd=tmp_path, log=tmp_path / "script.log")
    try:
        running = Conducted(target)
        running.burst()
        children = psutil.Process(target.pid).children(recursive=True)
        wide = {"workers": 2, "use_multiprocessing": True} if script == "py_dataset.py" else {
            "map_parallelism": 8, "private_threadpool_size": 8,
        }  # fmt: skip
        wanted = Settings(tensorflow=running.hello.loader.settings.tensorflow.replace(**wide))
        order = running.order(wanted, length=Length(max_s=0.5, min_s=0.1), deadline_s=1.0)
        assert isinstance(order, Measure)
        with pytest.raises(TargetHangs):
            target.measure(order)
        tree = [psutil.Process(target.pid), *children, *psutil.Process(target.pid).children(recursive=True)]
    finally:
        target.stop()
    assert not [process for process in tree if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]
