"""The parent process of the user's command: confines it, watches it, buries it and everything it started.

The keeper itself stays outside the sandbox. It talks JSON lines to the tuner over one inherited pipe and
obeys a second one; the end of that one means that the tuner is gone, by whatever signal: everything ends.
"""

from __future__ import annotations

import gc
import marshal
import os
import resource
import select
import signal
import sys
import time
from typing import Any, NoReturn

from gputune.probes.sandbox import confine, kernel, leftovers, reap, scratch
from gputune.probes.sandbox.target import StartFailed, Target, start

_FORWARDED = {
    signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2,
    signal.SIGWINCH, signal.SIGCONT, signal.SIGTSTP,
}  # fmt: skip
_PARENT_DIED = signal.SIGRTMIN + 5
_LINGER_S = 1.0
"""How long what the command left running may take to end by itself once the command has ended."""
_LOOK_S = 0.25
"""Pause between two looks at the size of the scratch space, at least."""
_CANNOT_EXECUTE = 126


class Keeper:
    """One command from confinement to burial."""

    def __init__(self, config: dict[str, Any]) -> None:
        self._config = config
        self._report_fd, self._orders_fd = config["report_fd"], config["orders_fd"]
        self._signals_fd = -1
        self._orders = b""
        self._reason = ""
        self._kill_at: float | None = None
        self._statuses: dict[int, int] = {}
        self._space: confine.Space | None = None

    def run(self) -> int:
        """Return the wait status of the command."""
        self._guard()
        began = time.monotonic()
        started_ns = time.time_ns()
        request = confine.Request(**self._config["request"])
        try:
            self._space = confine.make_space(request)
            request = _bounded(request, [self._space.main])
            target = start(request, self._space, self._config["pass_fds"])
            request = _bounded(request, target.written_roots)
            setup_s = time.monotonic() - began
            target.go()
            self._say({"event": "confined", **target.describe(), "setup_s": setup_s})
            status = self._watch(target, request.limit_bytes)
            self._bury(target, status, started_ns)
        except StartFailed as error:
            self._clean_up()
            self._say({"event": "failed", "error": str(error), "kind": error.kind})
            return (127 if error.kind == "not_found" else _CANNOT_EXECUTE) << 8
        finally:
            reap.end_all(0.0, self._statuses)
            self._clean_up()
        return status

    def _guard(self) -> None:
        """Adopt orphans, and notice the end of the tuner: by signal and by the end of the orders pipe."""
        kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 1)
        watched = {*_FORWARDED, _PARENT_DIED, signal.SIGCHLD}
        signal.pthread_sigmask(signal.SIG_BLOCK, watched)
        self._signals_fd = kernel.signal_descriptor(watched)
        kernel.prctl(kernel.PR_SET_PDEATHSIG, _PARENT_DIED)
        for descriptor in (self._report_fd, self._orders_fd):
            os.set_inheritable(descriptor, False)

    def _watch(self, target: Target, limit_bytes: int) -> int:
        """Wait for the command to end; return its wait status."""
        poll = select.poll()
        poll.register(self._signals_fd, select.POLLIN)
        poll.register(self._orders_fd, select.POLLIN)
        look_at = time.monotonic() + _LOOK_S
        while True:
            reap.collect_zombies(self._statuses)
            if target.pid in self._statuses:
                return self._statuses[target.pid]
            now = time.monotonic()
            if now >= look_at:
                self._check_size(target, limit_bytes)
                # A look that takes long is taken less often: at most a fiftieth of one core.
                look_at = time.monotonic() + max(_LOOK_S, 50 * (time.monotonic() - now))
            if self._kill_at is not None and now >= self._kill_at:
                os.kill(target.pid, signal.SIGKILL)
                self._kill_at = None
            until = min(look_at, self._kill_at or look_at)
            for descriptor, _ in poll.poll(max(0.0, until - time.monotonic()) * 1000):
                if descriptor == self._signals_fd:
                    self._on_signals(target)
                elif not self._on_orders(target):
                    poll.unregister(self._orders_fd)

    def _check_size(self, target: Target, limit_bytes: int) -> None:
        used = scratch.used_bytes(target.written_roots)
        if used > limit_bytes and not self._reason:
            self._reason = f"scratch_limit: the script wrote {_mebibytes(used)}, the limit is {_mebibytes(limit_bytes)}"
            os.kill(target.pid, signal.SIGKILL)

    def _on_signals(self, target: Target) -> None:
        for number, code in kernel.read_signals(self._signals_fd):
            if number == _PARENT_DIED:
                # Also sent when the tuner's starting thread ends; only the tuner's own end counts.
                if os.getppid() != self._config["tuner_pid"]:
                    self._stop(target, 0.0, "tuner_gone")
            elif number != signal.SIGCHLD and not self._reached_already(target, code):
                os.kill(target.pid, number)

    def _reached_already(self, target: Target, code: int) -> bool:
        """Ctrl-C at a terminal reaches the whole foreground group, the command included."""
        return code == kernel.SI_KERNEL and os.getpgid(target.pid) == os.getpgrp()

    def _on_orders(self, target: Target) -> bool:
        data = os.read(self._orders_fd, 4096)
        if not data:
            self._stop(target, 0.0, "tuner_gone")
            return False
        self._orders += data
        *lines, self._orders = self._orders.split(b"\n")
        for line in lines:
            self._stop(target, float(line), "stopped")
        return True

    def _stop(self, target: Target, grace_s: float, reason: str) -> None:
        self._reason = self._reason or reason
        self._kill_at = time.monotonic() + grace_s
        if grace_s > 0:
            os.kill(target.pid, signal.SIGTERM)

    def _bury(self, target: Target, status: int, started_ns: int) -> None:
        linger_s = 0.0 if self._reason else _LINGER_S
        ended, left = reap.end_all(linger_s, self._statuses)
        leftovers.remove_shared_memory({target.pid, *ended, *self._statuses})
        listing = target.written(started_ns)
        not_removed = self._clean_up()
        self._say({
            "event": "ended", "status": os.waitstatus_to_exitcode(status), "reason": self._reason,
            "killed": len(ended), "left": sorted(left),
            "not_removed": not_removed,            "files": listing.files, "bytes": listing.bytes,
            "written": [entry._asdict() for entry in listing.entries],
        })  # fmt: skip

    def _clean_up(self) -> list[str]:
        """Remove the scratch space; return what could not be removed."""
        space, self._space = self._space, None
        return [path for path in (space.all if space else []) if not scratch.remove(path)]

    def _say(self, message: dict[str, Any]) -> None:
        import json  # loaded while the child set itself up

        data = json.dumps(message).encode() + b"\n"
        try:
            while data:
                data = data[os.write(self._report_fd, data) :]
        except OSError:
            return  # the tuner is gone: nobody listens, cleaning up goes on


def _bounded(request: confine.Request, folders: list[str]) -> confine.Request:
    """Never let a probe take more than half of what is free on a disk it writes to, whatever the limit."""
    spaces = [os.statvfs(folder) for folder in folders]
    halves = [space.f_bavail * space.f_frsize // 2 for space in spaces]
    return request._replace(limit_bytes=min(request.limit_bytes, *halves))


def _mebibytes(count: int) -> str:
    return f"{count / (1 << 20):.0f} MiB"


def main(config_fd: int) -> NoReturn:
    """Run the command that the configuration on ``config_fd`` describes and end as it ended."""
    gc.disable()  # lives for one command and allocates little
    with os.fdopen(config_fd, "rb") as file:
        config = marshal.load(file)  # from the same interpreter, over a pipe of its own
    status = Keeper(config).run()
    sys.stdout.flush()
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # the command has dumped its own core already
        if number not in (signal.SIGKILL, signal.SIGSTOP):
            signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})
        os.kill(os.getpid(), number)
    os._exit(os.waitstatus_to_exitcode(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status))
