"""Phase two of a save, in the writer: arena, temporary file, fsync, atomic replace, fsync of the directory.

The file is written as ``DIRECTORY/.gputune-save-XXXX/NAME``: torch names the archive's inner folder after the
file, so the temporary file must carry the final name. A lock on the temporary directory tells a live write
from the remains of a killed process.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from gputune.probes.runtime.checkpoint import torch_names
from gputune.probes.runtime.checkpoint.capture import Record
from gputune.probes.runtime.checkpoint.destination import Destination
from gputune.probes.runtime.checkpoint.staging import Arena

if sys.platform == "win32":
    fcntl: Any = None  # remains of killed processes then stay where they are
else:
    import fcntl as _fcntl

    fcntl: Any = _fcntl

TEMPORARY_PREFIX = ".gputune-save-"
_STALE_AFTER_S = 60.0
"""A directory this old whose lock is free belongs to a dead process; a younger one may not be locked yet."""
_END_OF_ARCHIVE = b"PK\x05\x06"
_END_RECORD_BYTES = 22


@dataclass(frozen=True)
class WriteJob:
    """Everything a writer needs besides the arena; plain data, so that it can cross a process boundary."""

    destination: Destination
    records: tuple[Record, ...]
    compute_crc32: bool
    alignment: int


def write_durably(job: WriteJob, arena: Arena) -> None:
    """Write the archive so that a crash at any moment leaves the old file or the new one, whole.

    Raises:
        OSError, RuntimeError: the disk is full, the directory is gone, ...; the old file is untouched.
    """
    target = job.destination.target
    with _temporary_directory(os.path.dirname(target)) as (folder, folder_fd):
        temporary = os.path.join(folder, job.destination.given_name)
        # Through the open folder the name stays ASCII whatever the directories above it are called.
        through_fd = f"/proc/self/fd/{folder_fd}/{job.destination.given_name}"
        direct = job.destination.by_stream or not os.path.isdir("/proc/self/fd")
        _write_records(job, temporary if direct else through_fd, arena)
        _finish(temporary, job.destination)
        os.replace(temporary, target)
    fsync_directory(os.path.dirname(target))


def _write_records(job: WriteJob, path: str, arena: Arena) -> None:
    with torch_names.archive_writer(
        path,
        compute_crc32=job.compute_crc32,
        alignment=job.alignment,
        by_stream=job.destination.by_stream,
    ) as writer:
        for record in job.records:
            writer.write_record(record.name, _record_data(record, arena), record.size_bytes)


def _record_data(record: Record, arena: Arena) -> Any:
    if not record.is_storage or not record.size_bytes:
        return arena.bytes_at(record.offset, record.size_bytes)
    # As a storage, not as bytes: torch's writer lets go of the GIL only for storages.
    return arena.tensor(record.offset, record.size_bytes).untyped_storage()


def _finish(temporary: str, destination: Destination) -> None:
    """Set owner and mode, check that the file ends as archives end, force it to disk."""
    with open(temporary, "r+b") as file:
        # The C++ stream does not report a failed flush on close; a missing tail does.
        file.seek(-_END_RECORD_BYTES, os.SEEK_END)
        if not file.read().startswith(_END_OF_ARCHIVE):
            raise OSError(f"{temporary} was cut short; is the disk full?")
        if destination.owner is not None and hasattr(os, "fchown"):
            made = os.fstat(file.fileno())
            if (made.st_uid, made.st_gid) != destination.owner:
                os.fchown(file.fileno(), *destination.owner)
        os.chmod(temporary, destination.mode)
        os.fsync(file.fileno())


@contextlib.contextmanager
def _temporary_directory(parent: str) -> Iterator[tuple[str, int]]:
    folder = tempfile.mkdtemp(prefix=TEMPORARY_PREFIX, dir=parent)
    fd = os.open(folder, os.O_RDONLY)
    try:
        if fcntl is not None:
            fcntl.flock(fd, fcntl.LOCK_EX)
        yield folder, fd
    finally:
        os.close(fd)
        shutil.rmtree(folder, ignore_errors=True)


def fsync_directory(directory: str) -> None:
    """Make renames inside ``directory`` durable; file systems that cannot are left alone."""
    fd = os.open(directory, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # some network file systems refuse to fsync a directory
            os.fsync(fd)
    finally:
        os.close(fd)


def remove_remains(directory: str) -> int:
    """Delete temporary directories that killed processes left in ``directory``; returns how many."""
    removed = 0
    if fcntl is None:
        return removed
    try:
        names = os.listdir(directory)
    except OSError:
        return removed  # gone or unreadable: the write itself will say so
    for folder in (os.path.join(directory, name) for name in names if name.startswith(TEMPORARY_PREFIX)):
        try:
            if time.time() - os.stat(folder).st_mtime < _STALE_AFTER_S:
                continue
            fd = os.open(folder, os.O_RDONLY)
        except OSError:
            continue  # its owner has just finished with it
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
            removed += 1
        except BlockingIOError:
            continue  # alive: its writer holds the lock
        finally:
            os.close(fd)
    return removed
