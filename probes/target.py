"""Starts, conducts and buries a target: the user's script in its own process with our agent inside.

Every wait has a deadline, and whatever happens the whole process tree is gone when :meth:`Target.stop` returns.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from gputune.probes import attach
from gputune.probes.agent import ranks_board
from gputune.probes.attach import descriptors
from gputune.probes.channel import Channel, ChannelClosed, ChannelGarbled, ChannelTimeout
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
from gputune.probes.sandbox import plan, trackers
from gputune.probes.sandbox.records import Confinement, Ended

EXIT_GRACE_S = 3.0


class TargetGone(Exception):
    """The target ended: by itself, by an error of its own, or killed from outside.

    Attributes:
        status: exit status as a shell shows it (128 + n for signal n); ``None`` if it could not be had.
        goodbye: what the agent said last, if the script ended by itself.
        tail: the end of what it printed.
        reason: why the sandbox ended it (scratch limit); empty when it ended by itself.
    """

    def __init__(self, status: int | None, goodbye: Goodbye | None, tail: str, reason: str = "") -> None:
        super().__init__(f"the script ended with status {status}" + (f" ({reason})" if reason else ""))
        self.status, self.goodbye, self.tail, self.reason = status, goodbye, tail, reason


class TargetHangs(Exception):
    """The target gave no sign of life within its time, or none that can be understood."""


class TargetTrouble(Exception):
    """The agent is inside but cannot work there."""


class Target:
    """One run of the user's script under conduct, in the sandbox.

    Args:
        command: the full command line, starting with the Python interpreter.
        cwd: working directory.
        scope: ``self`` for a script of our interpreter, ``tree`` for a launcher.
        config: settings to apply at construction (fresh-process trials), or ``None``.
        variables: set for the command on top of our own environment.
        log: file for the script's output.
        mode: which protection of the user's files to use; ``none`` lets the script write for real.
        scratch_limit_bytes: what the script may write before it is ended.
        on_progress: called with texts the agent sends while it works.

    Raises:
        gputune.probes.sandbox.plan.SandboxUnavailable: no protection can be had here.
        gputune.probes.sandbox.plan.CommandNotStarted: the command cannot be executed.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        cwd: Path,
        scope: str = "self",
        config: Path | None = None,
        variables: Mapping[str, str] | None = None,
        log: Path | None = None,
        mode: plan.Mode = "auto",
        scratch_limit_bytes: int = plan.DEFAULT_SCRATCH_LIMIT_BYTES,
        on_progress: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._on_progress = on_progress
        self._goodbye: Goodbye | None = None
        self.started_s = time.monotonic()
        order_read, order_write = os.pipe()
        event_read, event_write = os.pipe()
        output_read, output_write = os.pipe()
        theirs = descriptors.Descriptors(order_read, event_write, ranks_board.create())
        quiet, self.announcements = trackers.offline_environment(os.environ)
        env = attach.environment(
            quiet | dict(variables or {}),
            mode="probe",
            scope=scope,
            channel=descriptors.describe(theirs),
            config=str(config or ""),
        )
        ours = [order_write, event_read, output_read]
        try:
            self._keeper = plan.launch(
                list(command),
                cwd=cwd,
                env=env,
                pass_fds=theirs,
                stdin=_stdin(),
                stdout=output_write,
                stderr=output_write,
                mode=mode,
                scratch_limit_bytes=scratch_limit_bytes,
                keep_writable=[] if config is None else [config],
            )
        except BaseException:
            for fd in ours:
                os.close(fd)
            raise
        finally:
            for fd in (*theirs, output_write):
                os.close(fd)
        self._channel: Channel[Event] = Channel(event_read, order_write, Event)
        self._output = OutputCollector(output_read, log)

    @property
    def pid(self) -> int:
        """Process id of the command we started."""
        return self._keeper.target_pid

    @property
    def confinement(self) -> Confinement:
        """Which protection of the user's files holds."""
        return self._keeper.confinement

    @property
    def ended(self) -> Ended | None:
        """How the command ended and what it wrote; ``None`` while it runs."""
        return self._keeper.ended

    def hello(self, timeout_s: float) -> Hello:
        """Wait until the agent has found the training loader.

        Raises:
            TargetGone: the script ended before.
            TargetHangs: nothing within ``timeout_s``.
            TargetTrouble: the agent cannot work in this process.
        """
        event = self._receive(timeout_s)
        if not isinstance(event, Hello):
            raise TargetHangs(f"it sent {type(event).__name__} out of turn")
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
        if isinstance(event, Hello):
            raise TargetHangs("it sent Hello out of turn")
        return event

    def _receive(self, timeout_s: float) -> Hello | Measured | TrialFailed | Refused:
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                event = self._channel.receive(max(0.0, deadline - time.monotonic()))
            except ChannelTimeout:
                raise TargetHangs(f"no answer within {timeout_s:.0f} s") from None
            except ChannelGarbled as error:
                raise TargetHangs(f"its side of the channel sent something that is no message: {error}") from None
            except ChannelClosed:
                raise self._gone() from None
            if isinstance(event, Progress):
                self._on_progress(event.text)
            elif isinstance(event, Goodbye):
                # A launcher says goodbye, too, after the process it started.
                if self._goodbye is None or len(event.loaders) > len(self._goodbye.loaders):
                    self._goodbye = event
            elif isinstance(event, Trouble):
                raise TargetTrouble(event.reason)
            else:
                return event

    def _gone(self) -> TargetGone:
        """Collect the exit status of a script that has closed its end of the channel."""
        status = self._keeper.wait(EXIT_GRACE_S)
        if status is not None and status < 0:
            status = 128 - status
        return TargetGone(status, self._goodbye, self.output_tail(), self._reason())

    def _reason(self) -> str:
        ended = self._keeper.ended
        return ended.reason if ended is not None else ""

    def output_tail(self, timeout_s: float = 1.0) -> str:
        """Return the end of what the script printed."""
        return self._output.tail(timeout_s)

    def stop(self) -> None:
        """End the script with everything it started and remove its scratch space; stopping twice does nothing.

        No grace: the script's own exit code (a last checkpoint, an upload) must not run in a probe.
        """
        self._keeper.stop(0.0)
        self._channel.close()


def _stdin() -> int | None:
    """Pass input through unless it is the terminal, which belongs to the tuner while it conducts."""
    return subprocess.DEVNULL if os.isatty(0) else None
