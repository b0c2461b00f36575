"""A private copy of the project, for machines that allow neither overlay nor Landlock.

Blocks are shared with the original (``FICLONE``) where the file system can, and copied where it cannot.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import stat

from gputune.probes.sandbox import scratch
from gputune.probes.sandbox.written import fingerprint

MAX_COPY_BYTES = 2 << 30
_FICLONE = 0x4004_9409


def copy_tree(source: str, target: str, limit_bytes: int = MAX_COPY_BYTES) -> dict[str, tuple[int, ...]]:
    """Copy ``source`` to ``target`` with modes, times and links, and return the copy's manifest.

    Returns:
        ``{path below the tree: fingerprint}`` of every file of the copy.

    Raises:
        OSError: when the copy would take more than ``limit_bytes`` or cannot be made.
    """
    budget = [limit_bytes]

    def copy(original: str, duplicate: str) -> str:
        mode = os.stat(original).st_mode
        if not stat.S_ISREG(mode):
            return duplicate  # a socket, pipe or device of somebody's: the copy does without
        with open(original, "rb") as reader, open(duplicate, "wb") as writer:
            try:
                fcntl.ioctl(writer.fileno(), _FICLONE, reader.fileno())
            except OSError:  # not on this file system
                budget[0] -= os.fstat(reader.fileno()).st_size
                if budget[0] < 0:
                    raise OSError(
                        errno.EFBIG, f"a copy of {source} would take more than {limit_bytes >> 20} MB"
                    ) from None
                shutil.copyfileobj(reader, writer, 1 << 20)
        shutil.copystat(original, duplicate)
        return duplicate

    def skip(directory: str, names: list[str]) -> list[str]:
        return [name for name in names if name.startswith(scratch.PREFIX) or _is_special(directory, name)]

    try:
        shutil.copytree(source, target, symlinks=True, copy_function=copy, ignore=skip)
    except shutil.Error as error:
        raise OSError(errno.EIO, f"cannot copy {error.args[0][0][0]}: {error.args[0][0][2]}") from error
    return manifest(target)


def _is_special(directory: str, name: str) -> bool:
    mode = os.lstat(os.path.join(directory, name)).st_mode
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_ISLNK(mode))


def manifest(tree: str) -> dict[str, tuple[int, ...]]:
    """Return the fingerprint of every file below ``tree``, by its path from there (``/a/b``)."""
    found = {}
    for directory, folders, names in os.walk(tree):
        links = [name for name in folders if os.path.islink(os.path.join(directory, name))]
        for name in (*names, *links):
            path = os.path.join(directory, name)
            found[path[len(tree) :]] = fingerprint(os.lstat(path))
    return found
