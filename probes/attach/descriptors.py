"""The descriptors through which tuner and agent, and the ranks of a job, know of each other.

They have no name that could clash or be left behind. A script of ours inherits them; what a launcher starts finds
them in ``/proc/<pid>/fd`` of the command, because launchers close what they do not know.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from typing import NamedTuple

_KINDS = (stat.S_ISFIFO, stat.S_ISFIFO, stat.S_ISREG)
_MODES = (os.O_RDONLY, os.O_WRONLY, os.O_RDWR)
KEPT_BY_COMMAND = "@GPUTUNE_TARGET@"
"""Stands for the pid in the text until the command is executed; the sandbox replaces it."""


class Descriptors(NamedTuple):
    """What a process has to talk through."""

    orders: int
    """A pipe to read the tuner's orders from."""
    events: int
    """A pipe to write events to."""
    board: int
    """A memory file shared by the ranks of one job."""


def describe(descriptors: Descriptors) -> str:
    """Return the text of :data:`gputune.probes.attach.CHANNEL` for descriptors that the command will inherit.

    ``<pid>:<fd>:<inode>:<fd>:<inode>:<fd>:<inode>``; the inodes tell them from others under the same numbers.
    """
    return ":".join([KEPT_BY_COMMAND, *(f"{fd}:{os.fstat(fd).st_ino}" for fd in descriptors)])


def find(text: str) -> Descriptors | None:
    """Return the descriptors that a text describes, or ``None`` where they cannot be reached from here."""
    try:
        pid, *numbers = (int(part) for part in text.split(":"))
    except ValueError:
        return None
    if len(numbers) != 2 * len(Descriptors._fields):
        return None
    fds, inodes = numbers[::2], numbers[1::2]
    if all(map(_is, fds, inodes, _KINDS)):
        return Descriptors(*fds)
    return _open_kept(pid, fds, inodes)


def _open_kept(pid: int, fds: list[int], inodes: list[int]) -> Descriptors | None:
    """Open what the command keeps for what it starts."""
    opened: list[int] = []
    try:
        for fd, inode, kind, mode in zip(fds, inodes, _KINDS, _MODES, strict=True):
            opened.append(os.open(f"/proc/{pid}/fd/{fd}", mode | os.O_CLOEXEC | os.O_NONBLOCK))
            os.set_blocking(opened[-1], True)
            if not _is(opened[-1], inode, kind):
                raise OSError(f"descriptor {fd} of process {pid} is something else")
    except OSError:
        for fd in opened:
            os.close(fd)
        return None
    return Descriptors(*opened)


def _is(fd: int, inode: int, kind: Callable[[int], bool]) -> bool:
    try:
        status = os.fstat(fd)
    except OSError:
        return False
    return kind(status.st_mode) and status.st_ino == inode
