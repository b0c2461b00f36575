"""Files of ours on disk: written whole or not at all, read only up to a size."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from gputune.errors import RecordError

MAX_FILE_BYTES = 64 << 20
"""What is larger was not written by us."""


def write_whole(path: Path, data: bytes) -> Path:
    """Write a file through a temporary neighbour and a rename; what was there stays until the new one is whole.

    Raises:
        RecordError: when the folder cannot be written.
    """
    try:
        fd, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
        try:
            with os.fdopen(fd, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.umask(mask := os.umask(0o077))
            os.chmod(temporary, 0o666 & ~mask)
            os.replace(temporary, path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise RecordError(
            f"cannot write {path}: {error.strerror}", "choose another folder with --results-dir"
        ) from error
    return path


def read_bounded(file: Path) -> bytes:
    """Return the bytes of a file from anywhere, refusing what is too large to be ours.

    Raises:
        RecordError: missing, unreadable or over :data:`MAX_FILE_BYTES`.
    """
    try:
        size = file.stat().st_size
        if size > MAX_FILE_BYTES:
            raise RecordError(f"{file} has {size} bytes; the limit is {MAX_FILE_BYTES}")
        return file.read_bytes()
    except OSError as error:
        raise RecordError(f"cannot read {file}: {error.strerror}", "see the stored runs with: gputune list") from error
