"""The verbs in processes of their own, in an empty folder, with caches (and the campaign lock) of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

TARGETS = Path(__file__).parents[2] / "targets"


class Shell:
    """Runs ``gputune`` in a user's folder."""

    def __init__(self, cwd: Path, cache: Path) -> None:
        self.cwd, self.env = cwd, {**os.environ, "XDG_CACHE_HOME": str(cache), "COLUMNS": "100"}
        self._children: list[subprocess.Popen[str]] = []

    def start(self, *words: object) -> subprocess.Popen[str]:
        """Start a command and return the process."""
        child = subprocess.Popen(
            [sys.executable, "-m", "gputune", *map(str, words)],
            cwd=self.cwd,
            env=self.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            # A shell that runs the tests in the background lets them ignore Ctrl-C; a user's terminal does not.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        self._children.append(child)
        return child

    def run(self, *words: object, timeout_s: float = 180) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        child = self.start(*words)
        out, err = child.communicate(timeout=timeout_s)
        return subprocess.CompletedProcess(child.args, child.returncode, out, err)

    def close(self) -> None:
        """Kill what a failed test left."""
        for child in self._children:
            if child.poll() is None:
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    cwd = tmp_path / "project"
    cwd.mkdir()
    running = Shell(cwd, tmp_path / "cache")
    yield running
    running.close()


@pytest.fixture
def none_left() -> Callable[[str], None]:
    """Assert that no process mentions a script any more."""

    def check(script: str, patience_s: float = 10.0) -> None:
        deadline = time.monotonic() + patience_s
        while time.monotonic() < deadline:
            left = [
                process
                for process in psutil.process_iter(["cmdline", "status"])
                if any(script in word for word in process.info["cmdline"] or [])
                and process.info["status"] != psutil.STATUS_ZOMBIE
            ]
            if not left:
                return
            time.sleep(0.1)
        raise AssertionError(f"still running: {left}")

    return check
