"""The tuner's side of the sandbox: start a protected command, wait for it, stop it, read what it wrote."""

from __future__ import annotations

import contextlib
import json
import marshal
import os
import select
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from gputune.probes.sandbox import landlock, scratch
from gputune.probes.sandbox.caches import caches, keep_compile_cache
from gputune.probes.sandbox.records import Confinement, Ended, Written

Mode = Literal["auto", "overlay", "landlock", "copy", "none"]
DEFAULT_SCRATCH_LIMIT_BYTES = 20 << 30
_START_LIMIT_S = 300.0
"""A copy of a large project may take this long; everything else takes milliseconds."""
_BURIAL_LIMIT_S = 30.0


class SandboxUnavailable(Exception):
    """No protection, or not the one asked for, can be had on this machine; the message says why."""

    hint = "run where private mounts are allowed, or accept that the script writes for real: --allow-writes"


class CommandNotStarted(Exception):
    """The command itself cannot be executed; the message says why."""


class Keeper:
    """A running, protected command. Use :func:`launch` to make one.

    Use it as a context manager or call :meth:`wait` or :meth:`stop`: both release its descriptors.
    """

    def __init__(self, process: subprocess.Popen[bytes], report_fd: int, orders_fd: int) -> None:
        self._process = process
        self._report_fd, self._orders_fd = report_fd, orders_fd
        self._buffer = b""
        self.confinement = Confinement(mode="none")
        self.ended: Ended | None = None

    @property
    def pid(self) -> int:
        """Process id of the keeper."""
        return self._process.pid

    @property
    def target_pid(self) -> int:
        """Process id of the user's command, the same inside and outside."""
        return self.confinement.target_pid

    def wait(self, timeout_s: float | None = None) -> int | None:
        """Wait until the command has ended and everything is cleaned up.

        Returns:
            The command's exit status (minus the number of its signal); None after ``timeout_s``.
        """
        end = None if timeout_s is None else time.monotonic() + timeout_s
        while self._report_fd >= 0:
            message = self._next_message(None if end is None else max(0.0, end - time.monotonic()))
            if message is None:
                return None
            if message.get("event") == "ended":
                self.ended = msgspec.convert(message, Ended)
        return self._finish()

    def stop(self, grace_s: float = 2.0) -> int:
        """End the command and all it started: SIGTERM, after ``grace_s`` SIGKILL. Returns its status."""
        if self._orders_fd >= 0:
            with contextlib.suppress(BrokenPipeError):  # the keeper has ended by itself meanwhile
                os.write(self._orders_fd, f"{grace_s}\n".encode())
        status = self.wait(grace_s + _BURIAL_LIMIT_S)
        if status is None:
            self._process.kill()
            status = self.wait()
        assert status is not None
        return status

    def written(self) -> list[Written]:
        """Return what the command wrote, the largest files when there are very many; empty while it runs."""
        return self.ended.written if self.ended else []

    def __enter__(self) -> Keeper:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop(0.0)

    def _finish(self) -> int:
        status = self._process.wait()
        if self._orders_fd >= 0:
            os.close(self._orders_fd)
            self._orders_fd = -1
            if self.ended is None and self.confinement.scratch:  # the keeper itself was killed
                scratch.bury(self.confinement.scratch)
                scratch.sweep_stale()
                self.ended = Ended(status=status, reason="keeper_killed")
        return self.ended.status if self.ended else status

    def _next_message(self, timeout_s: float | None) -> dict[str, Any] | None:
        """Return the next message, ``{}`` at the end of the pipe, None when the time is over."""
        end = None if timeout_s is None else time.monotonic() + timeout_s
        while b"\n" not in self._buffer:
            left = None if end is None else max(0.0, end - time.monotonic())
            if not select.select([self._report_fd], [], [], left)[0]:
                return None
            chunk = os.read(self._report_fd, 1 << 16)
            if not chunk:
                os.close(self._report_fd)
                self._report_fd = -1
                return {}
            self._buffer += chunk
        line, _, self._buffer = self._buffer.partition(b"\n")
        message: dict[str, Any] = json.loads(line)
        return message

    def await_start(self) -> None:
        """Read the keeper's first message.

        Raises:
            SandboxUnavailable: no protection can be had.
            CommandNotStarted: the command cannot be executed.
        """
        message = self._next_message(_START_LIMIT_S)
        if message and message["event"] == "confined":
            self.confinement = msgspec.convert(message, Confinement)
            return
        if message is None:
            self._process.kill()
        self.wait()
        if message and message["kind"] != "unprotected":
            raise CommandNotStarted(message["error"])
        silent = f"the keeper gave no answer (status {self._process.returncode})"
        raise SandboxUnavailable(message["error"] if message else silent)


def _start_keeper(
    request: dict[str, Any], streams: tuple[Any, Any, Any], pass_fds: list[int], own_session: bool
) -> Keeper:
    """Start the keeper process, hand it its task and wait until the command runs."""
    config_read, config_write = os.pipe()
    report_read, report_write = os.pipe()
    orders_read, orders_write = os.pipe()
    start = str(Path(__file__).with_name("keeper_start.py"))
    try:
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", start, str(config_read)],
            stdin=streams[0], stdout=streams[1], stderr=streams[2], start_new_session=own_session,
            pass_fds=(config_read, report_write, orders_read, *pass_fds),
        )  # fmt: skip
    except BaseException:
        for descriptor in (config_write, report_read, orders_write):
            os.close(descriptor)
        raise
    finally:
        for descriptor in (config_read, report_write, orders_read):
            os.close(descriptor)
    keeper = Keeper(process, report_read, orders_write)
    config = {
        "request": request, "report_fd": report_write, "orders_fd": orders_read, "tuner_pid": os.getpid(),
        "pass_fds": pass_fds,
    }  # fmt: skip
    try:
        with os.fdopen(config_write, "wb") as file:
            file.write(marshal.dumps(config))
        keeper.await_start()
    except BaseException:
        keeper.stop(0.0)
        raise
    return keeper


def launch(
    argv: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    pass_fds: Sequence[int] = (),
    stdin: Any = None,
    stdout: Any = None,
    stderr: Any = None,
    mode: Mode = "auto",
    scratch_limit_bytes: int = DEFAULT_SCRATCH_LIMIT_BYTES,
    passthrough: Sequence[Path] | None = None,
    keep_writable: Sequence[Path] = (),
    own_session: bool = True,
) -> Keeper:
    """Start a command so that none of the user's files changes, and return once it runs.

    Args:
        argv, cwd, stdin, stdout, stderr, pass_fds: as for ``subprocess.Popen``.
        env: its whole environment; ``TMPDIR`` is replaced by a private directory unless ``mode`` is ``none``.
        mode: ``auto`` takes the strongest protection there is, and refuses without any.
        scratch_limit_bytes: the command is killed once it has written more, or half of the free disk.
        passthrough: caches that are used for real; None for the usual ones.
        keep_writable: further paths that are used for real.
        own_session: keep Ctrl-C at the terminal from the command; the tuner decides what it means.

    Raises:
        SandboxUnavailable: the protection asked for cannot be had.
        CommandNotStarted: the command cannot be executed.
    """
    request = {
        "argv": list(argv), "cwd": str(cwd), "mode": mode, "limit_bytes": scratch_limit_bytes,
        "environment": dict(env) if mode == "none" else keep_compile_cache(env),
        "kept": [str(path) for path in (caches(env) if passthrough is None else passthrough)],
        "writable": [str(path) for path in keep_writable],
    }  # fmt: skip
    return _start_keeper(request, (stdin, stdout, stderr), list(pass_fds), own_session)


def probe(cwd: Path | None = None) -> str:
    """Return one sentence for ``gputune doctor``: what protection there is here, and why no stronger one."""
    try:
        with launch(["true"], cwd=cwd or Path.cwd(), env=os.environ) as keeper:
            keeper.wait(30.0)
            found = keeper.confinement
    except (SandboxUnavailable, CommandNotStarted) as error:
        return f"sandbox: none ({error})"
    kinds = {
        "overlay": "overlay in a private mount namespace",
        "landlock": "Landlock",
        "copy": "copy of the project",
    }
    parts = [kinds[found.mode] + (" (user namespace)" if found.user_namespace else "")]
    parts.append(f"set up in {found.setup_s * 1000:.0f} ms")
    parts += [f"because {found.reason}"] if found.reason else []
    if found.mode == "overlay" and landlock.version():
        parts.append(f"Landlock ABI {landlock.version()} as fallback")
    return "sandbox: " + ", ".join(parts + found.notes)
