"""Where a save goes, and whether it may go there behind the caller's back."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Destination:
    """A plain file that can be replaced atomically without anybody noticing a difference."""

    given_name: str
    """The last part of the path as the caller wrote it: torch names the archive's inner folder after it."""
    target: str
    """The real path: a symbolic link is written through, as ``torch.save`` does."""
    by_stream: bool
    """torch writes a path that is not ASCII through a Python stream, which names the folder "archive"."""
    mode: int
    """Permission bits of the finished file."""
    owner: tuple[int, int] | None
    """User and group of the file that is replaced, or None for a new one."""


def resolve(path: object) -> Destination | str:
    """Return the destination for ``path``, or the reason why it has to be written synchronously.

    Everything that would make ``torch.save`` fail at once is such a reason: torch then raises its own error.
    """
    if not isinstance(path, str | os.PathLike):
        return "it is not a path"
    text: Any = os.fspath(path)
    if not isinstance(text, str) or not os.path.basename(text):
        return "it is not a file name"
    if not os.path.basename(text).rpartition(".")[0] and os.path.basename(text).startswith("."):
        return "torch refuses its name"
    target = os.path.realpath(text)
    directory = os.path.dirname(target)
    if not os.path.isdir(directory) or not os.access(directory, os.W_OK | os.X_OK):
        return "its directory cannot be written"
    try:
        found = os.stat(target)
    except FileNotFoundError:
        return Destination(os.path.basename(text), target, not text.isascii(), 0o666 & ~_umask(), None)
    except OSError as error:
        return f"it cannot be looked at ({error.strerror})"
    if not stat.S_ISREG(found.st_mode):
        return "it is not a regular file"
    if found.st_nlink > 1:
        return "it has other hard links, which a replaced file would leave behind"
    if not os.access(target, os.W_OK):
        return "it cannot be written"
    if _has_own_attributes(target):
        return "it carries access lists or extended attributes, which a replaced file would lose"
    owner = (found.st_uid, found.st_gid)
    if owner[0] != os.geteuid() and os.geteuid() != 0:
        return "it belongs to another user, whom a replaced file would lose it to"
    return Destination(os.path.basename(text), target, not text.isascii(), stat.S_IMODE(found.st_mode), owner)


def _has_own_attributes(target: str) -> bool:
    if not hasattr(os, "listxattr"):
        return False
    try:
        names = os.listxattr(target)
    except OSError:
        return False  # this file system has no extended attributes
    return any(not name.startswith("security.") for name in names)


def _umask() -> int:
    """Return the process's umask, without setting it where Linux tells it."""
    try:
        with open("/proc/self/status", encoding="ascii", errors="replace") as status:
            for line in status:
                if line.startswith("Umask:"):
                    return int(line.split()[1], 8)
    except OSError:
        pass  # no /proc here: ask the portable way below
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
