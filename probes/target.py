"""Starts, conducts and buries a target: the user's script in its own process with our agent inside.

Every wait has a deadline, and whatever happens the whole process tree is gone when :meth:`Target.stop` returns.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import psutil

from gputune.probes import attach
from gputune.probes.channel import Channel, ChannelClosed, ChannelTimeout
from gputune.probes.output import OutputCollector
from gputune.probes.protocol import (
    Event,
    Goodbye,
    Hello,
    Measure,
    Measured,
    Progress,
    Refused,
    TrialFailed,
    Trouble,
)

EXIT_GRACE_S = 3.0


class TargetGone(Exception):
    """The target ended: by itself, by an error of its own, or killed from outside.

    Attributes:
        status: exit status as a shell shows it (128 + n for signal n); ``None`` if it could not be had.
        goodbye: what the agent said last, if the script ended by itself.
        tail: the end of what it printed.
    """

    def __init__(self, status: int | None, goodbye: Goodbye | None, tail: str) -> None:
        super().__init__(f"the script ended with status {status}")
        self.status, self.goodbye, self.tail = status, goodbye, tail


class TargetHangs(Exception):
    """The target gave no sign of life within its time."""


class TargetTrouble(Exception):
    """The agent is inside but cannot work there."""


class Target:
    """One run of the user's script under conduct.

    Args:
        command: the full command line, starting with the Python interpreter.
        cwd: working directory.
        scope: ``self`` for a script of our interpreter, ``tree`` for a launcher.
        config: settings to apply at construction (fresh-process trials), or ``None``.
        log: file for the script's output.
        on_progress: called with texts the agent sends while it works.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        cwd: Path,
        scope: str = "self",
        config: Path | None = None,
        log: Path | None = None,
        on_progress: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._on_progress = on_progress
        self._goodbye: Goodbye | None = None
        self._scratch = Path(tempfile.mkdtemp(prefix="gputune-"))
        self.started_s = time.monotonic()
        order_read, order_write = os.pipe()
        event_read, event_write = os.pipe()
        output_read, output_write = os.pipe()
        # Sockets of multiprocessing and other temporary files go where we can remove them when we kill the script.
        base = {**os.environ, "TMPDIR": str(self._scratch)}
        # The pid is not known yet; 0 makes the agent look at its own descriptors first.
        env = attach.environment(
            base, mode="probe", scope=scope, channel=f"0:{order_read}:{event_write}", config=str(config or "")
        )
        try:
            self._process = subprocess.Popen(
                list(command), cwd=cwd, env=env, pass_fds=(order_read, event_write), stdin=_stdin(),
                stdout=output_write, stderr=output_write, start_new_session=True,
            )
        finally:
            for fd in (order_read, event_write, output_write):
                os.close(fd)
        self._channel: Channel[Event] = Channel(event_read, order_write, Event)
        self._output = OutputCollector(output_read, log)

    @property
    def pid(self) -> int:
        """Process id of the script."""
        return self._process.pid

    def hello(self, timeout_s: float) -> Hello:
        """Wait until the agent has found the training loader.

        Raises:
            TargetGone: the script ended before.
            TargetHangs: nothing within ``timeout_s``.
            TargetTrouble: the agent cannot work in this process.
        """
        event = self._receive(timeout_s)
        assert isinstance(event, Hello)
        return event

    def measure(self, order: Measure) -> Measured | TrialFailed | Refused:
        """Carry out one order and return the agent's answer.

        Raises:
            TargetGone: the script ended meanwhile.
            TargetHangs: no answer in the time the order can take at most.
        """
        try:
            self._channel.send(order)
        except ChannelClosed:
            raise self._gone() from None
        limit_s = 2 * order.deadline_s + 4 * order.length.max_s + 10.0
        event = self._receive(limit_s)
        assert isinstance(event, (Measured, TrialFailed, Refused))
        return event

    def _receive(self, timeout_s: float) -> Hello | Measured | TrialFailed | Refused:
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                event = self._channel.receive(max(0.0, deadline - time.monotonic()))
            except ChannelTimeout:
                raise TargetHangs(f"no answer within {timeout_s:.0f} s") from None
            except ChannelClosed:
                raise self._gone() from None
            if isinstance(event, Progress):
                self._on_progress(event.text)
            elif isinstance(event, Goodbye):
                self._goodbye = event
            elif isinstance(event, Trouble):
                raise TargetTrouble(event.reason)
            else:
                return event

    def _gone(self) -> TargetGone:
        """Collect the exit status of a script that has closed its end of the channel."""
        try:
            code = self._process.wait(EXIT_GRACE_S)
        except subprocess.TimeoutExpired:
            return TargetGone(None, self._goodbye, self.output_tail(0.1))
        return TargetGone(128 - code if code < 0 else code, self._goodbye, self.output_tail())

    def wait(self, timeout_s: float) -> TargetGone | None:
        """Return how the script ended, or ``None`` when it is still running after ``timeout_s``."""
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None
        return self._gone()

    def output_tail(self, timeout_s: float = 1.0) -> str:
        """Return the end of what the script printed."""
        return self._output.tail(timeout_s)

    def stop(self) -> None:
        """Kill the script with everything it started and remove its temporary files; stopping twice does nothing."""
        family = self._descendants()
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        for process in family:
            _kill(process)
        self._process.wait()
        psutil.wait_procs(family, timeout=EXIT_GRACE_S)
        self._channel.close()
        _remove_shared_memory({process.pid for process in family} | {self._process.pid})
        shutil.rmtree(self._scratch, ignore_errors=True)

    def _descendants(self) -> list[psutil.Process]:
        try:
            return psutil.Process(self._process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []


def _stdin() -> int | None:
    """Pass input through unless it is the terminal, which belongs to the tuner while it conducts."""
    return subprocess.DEVNULL if os.isatty(0) else None


def _kill(process: psutil.Process) -> None:
    try:
        process.kill()
    except psutil.NoSuchProcess:
        return


def _remove_shared_memory(pids: set[int]) -> None:
    """Remove segments of workers that were killed between creating and unlinking one (torch names them by pid)."""
    folder = Path("/dev/shm")
    for pid in pids:
        for segment in folder.glob(f"torch_{pid}_*"):
            segment.unlink(missing_ok=True)
