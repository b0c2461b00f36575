import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest

from gputune.probes.gpu import NullGpu
from gputune.probes.sampler import Sampler

BUSY = "def burn(s):\n    end = time.process_time() + s\n    while time.process_time() < end: pass\n"


class Target:
    """A real process that waits to be told to go on, line by line."""

    def __init__(self, body: str, new_session: bool = False) -> None:
        source = f"import os, signal, sys, time\n{BUSY}sys.stdin.readline()\n{body}"
        self.process = subprocess.Popen(
            [sys.executable, "-c", source],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            process_group=None if new_session else 0,
            start_new_session=new_session,
        )

    def go(self) -> None:
        assert self.process.stdin
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def line(self) -> str:
        assert self.process.stdout
        return self.process.stdout.readline().strip()

    def begin(self) -> float:
        """Let it go on; return a moment before it, far enough for a sample to lie between."""
        start_s = time.monotonic()
        time.sleep(0.15)
        self.go()
        return start_s


@pytest.fixture
def start() -> Iterator[Callable[..., Target]]:
    """Return a function that starts a target; all are killed with their children at the end."""
    started: list[Target] = []

    def run(body: str, new_session: bool = False) -> Target:
        started.append(Target(body, new_session))
        return started[-1]

    yield run
    for target in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(target.process.pid, signal.SIGKILL)
        target.process.communicate()


@pytest.fixture
def watch(start: Callable[..., Target]) -> Callable[..., tuple[Target, Sampler]]:
    """Return a function that starts a target and a sampler that watches it."""

    def run(body: str, interval_s: float = 0.1, new_session: bool = False) -> tuple[Target, Sampler]:
        target = start(body, new_session)
        sampler = Sampler(target.process.pid, NullGpu("none"), interval_s=interval_s)
        sampler.start()
        return target, sampler

    return run
