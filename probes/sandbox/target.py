"""Fork the user's command under the strongest protection that this machine allows."""

from __future__ import annotations

import os
import signal
from typing import Any, NamedTuple, NoReturn

from gputune.probes.sandbox import confine, kernel, overlay, scratch, wire, written

MODES = ("overlay", "landlock", "copy")
"""Strongest first; ``none`` only on demand."""
_SETUP_LIMIT_S = 10.0
"""A hung network mount must not hang the start."""
_PLACEHOLDER = "@GPUTUNE_SCRATCH@"
_COMMAND_PID = "@GPUTUNE_TARGET@"
"""As ``gputune.probes.attach.KEPT_BY_COMMAND``, which cannot be imported here."""


class StartFailed(Exception):
    """The command could not be started; ``kind`` is ``not_found``, ``not_executable`` or ``unprotected``."""

    def __init__(self, message: str, kind: str) -> None:
        super().__init__(message)
        self.kind = kind


class Attempt(NamedTuple):
    """One way to start: a mode and, for the overlay, whether it takes a user namespace."""

    mode: str
    user: bool = False


class Target:
    """The forked command: confined, not yet running until :meth:`go`."""

    def __init__(self, pid: int, pipes: tuple[int, int], attempt: Attempt, protection: confine.Protection) -> None:
        self.pid = pid
        self.attempt = attempt
        self.reasons: list[str] = []
        self.copied: tuple[str, str, dict[str, tuple[int, ...]]] | None = None
        self._status_fd, self._go_fd = pipes
        self._protection = protection
        self._memory_fd = -1
        self._space: confine.Space | None = None

    def adopt(self, space: confine.Space) -> None:
        """Get hold of the writes, also of those in memory that only the namespace sees."""
        self._space = space
        if self._protection.in_memory:
            inside = f"/proc/{self.pid}/root{space.main}/memory"
            self._memory_fd = os.open(inside, os.O_RDONLY | os.O_DIRECTORY)

    def describe(self) -> dict[str, Any]:
        """Return what the tuner is told."""
        assert self._space is not None
        return {
            "mode": self.attempt.mode,
            "user_namespace": self.attempt.user,
            "reason": "; ".join(self.reasons),
            "notes": self._protection.notes,
            "scratch": self._space.main,
            "target_pid": self.pid,
        }

    @property
    def _uppers(self) -> list[tuple[str, str]]:
        assert self._space is not None
        memory = f"{self._space.main}/memory/"
        held = f"/proc/self/fd/{self._memory_fd}/"
        return [
            (path, held + upper[len(memory) :] if upper.startswith(memory) else upper)
            for path, upper in self._protection.uppers
        ]

    @property
    def written_roots(self) -> list[str]:
        """Directories whose size counts against the limit."""
        assert self._space is not None
        copy = [self.copied[1]] if self.copied else []
        return [self._space.temporary, *copy, *(upper for _, upper in self._uppers)]

    def written(self, started_ns: int) -> written.Listing:
        """Return what the command wrote; call once every process of it has ended."""
        if self.copied:
            return written.from_copy(*self.copied)
        return written.from_uppers(self._uppers, started_ns)

    def go(self) -> None:
        """Let the command run.

        Raises:
            StartFailed: when it cannot be executed.
        """
        os.write(self._go_fd, b"!")
        os.close(self._go_fd)
        message = wire.receive(self._status_fd, None)  # the pipe closes when the command is executed
        os.close(self._status_fd)
        if message:
            os.waitpid(self.pid, 0)
            raise StartFailed(message["error"], "not_found" if message["missing"] else "not_executable")


def start(request: confine.Request, space: confine.Space, pass_fds: list[int]) -> Target:
    """Try the modes in order and return the first that holds.

    Raises:
        StartFailed: when none does.
    """
    reasons: list[str] = []
    for attempt in _attempts(request.mode):
        prepared = copied = None
        ready = request
        try:
            if attempt.mode == "overlay":
                prepared = confine.prepare_overlay(request, space, attempt.user)
            if attempt.mode == "copy":
                ready, manifest = confine.prepare_copy(request, space)
                copied = (os.path.realpath(request.cwd), ready.cwd, manifest)
            target = _fork(attempt, ready, space, prepared, pass_fds)
        except OSError as error:
            reasons.append(f"{_name(attempt)}: {error.strerror or error}")
            continue
        target.reasons, target.copied = reasons, copied
        target.adopt(space)
        return target
    tried = "; ".join(reasons)
    raise StartFailed(f"the user's files cannot be protected here ({tried})", "unprotected")


def _attempts(mode: str) -> list[Attempt]:
    found = []
    for name in MODES if mode == "auto" else (mode,):
        if name == "overlay" and os.geteuid() == 0:
            found.append(Attempt(name))  # no user namespace: files of foreign owners can be written, as always
        found.append(Attempt(name, name == "overlay"))
    return found


def _name(attempt: Attempt) -> str:
    kinds = {
        "overlay": "private mounts",
        "landlock": "Landlock",
        "copy": "copy of the project",
        "none": "no protection",
    }
    return kinds[attempt.mode] + (" in a user namespace" if attempt.user else "")


def _fork(
    attempt: Attempt,
    request: confine.Request,
    space: confine.Space,
    prepared: overlay.Prepared | None,
    pass_fds: list[int],
) -> Target:
    status_read, status_write = os.pipe()
    go_read, go_write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(status_read)
        os.close(go_write)
        _become(attempt, request, space, prepared, (status_write, go_read), pass_fds)
    os.close(status_write)
    os.close(go_read)
    import json  # noqa: F401 - the keeper needs it next, and loads it while the child is at work

    received = wire.receive(status_read, _SETUP_LIMIT_S)
    answer = received or {"error": f"no answer within {_SETUP_LIMIT_S:.0f} s"}
    if "error" in answer:
        os.close(status_read)
        os.close(go_write)
        os.kill(pid, signal.SIGKILL)
        if received:  # a process stuck in a dead mount cannot be reaped now; it is at the end
            os.waitpid(pid, 0)
        raise OSError(answer["error"])
    uppers = tuple((path, upper) for path, upper in answer["uppers"])
    protection = confine.Protection(uppers, tuple(answer["notes"]), answer["in_memory"])
    return Target(pid, (status_read, go_write), attempt, protection)


def _become(
    attempt: Attempt,
    request: confine.Request,
    space: confine.Space,
    prepared: overlay.Prepared | None,
    pipes: tuple[int, int],
    pass_fds: list[int],
) -> NoReturn:
    """In the child: protect, report, wait for the word, execute. Never returns into the keeper's code."""
    status_fd, go_fd = pipes
    try:
        kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
        try:
            protection = confine.enter(attempt.mode, request, space, prepared, attempt.user)
            os.chdir(request.cwd)
        except OSError as error:
            wire.send(status_fd, {"error": error.strerror or str(error)})
            os._exit(1)
        except Exception as error:  # noqa: BLE001 - whatever it is, the next protection gets its chance
            wire.send(status_fd, {"error": f"{type(error).__name__}: {error}"})
            os._exit(1)
        wire.send(status_fd, protection._asdict())
        if os.read(go_fd, 1) == b"!":
            _execute(request, space, attempt, status_fd, pass_fds)
    finally:
        os._exit(1)


def _execute(request: confine.Request, space: confine.Space, attempt: Attempt, status_fd: int, fds: list[int]) -> None:
    environment = _environment(request, space, attempt)
    for descriptor in fds:
        os.set_inheritable(descriptor, True)
    # Python ignores these two and blocks what the keeper watches; the command finds what a shell gives it.
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    try:
        os.execvpe(request.argv[0], request.argv, environment)
    except OSError as error:
        missing = isinstance(error, FileNotFoundError)
        wire.send(status_fd, {"error": f"cannot run {request.argv[0]}: {error.strerror}", "missing": missing})


def _environment(request: confine.Request, space: confine.Space, attempt: Attempt) -> dict[str, str]:
    environment = {
        name: value.replace(_PLACEHOLDER, space.temporary).replace(_COMMAND_PID, str(os.getpid()))
        for name, value in request.environment.items()
    }
    environment[scratch.MARK] = space.main
    if attempt.mode != "none":
        environment["TMPDIR"] = space.temporary
    return environment
