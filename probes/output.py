"""Keeps what the target prints: all of it up to a limit in a file, and the end of it for error messages."""

from __future__ import annotations

import contextlib
import os
import threading
from collections import deque
from io import FileIO
from pathlib import Path

FILE_LIMIT_BYTES = 8 << 20
TAIL_BYTES = 16 << 10


class OutputCollector:
    """Drains a pipe in a thread, so that a target that prints without end neither blocks nor fills the disk.

    Args:
        read_fd: the pipe's reading end; owned by the collector.
        path: where to write the first :data:`FILE_LIMIT_BYTES`; ``None`` keeps only the tail.
    """

    def __init__(self, read_fd: int, path: Path | None) -> None:
        self._fd, self._path = read_fd, path
        self._tail: deque[bytes] = deque()
        self._tail_bytes = 0
        self.total_bytes = 0
        self._thread = threading.Thread(target=self._drain, name="gputune-output", daemon=True)
        self._thread.start()

    def _drain(self) -> None:
        with contextlib.ExitStack() as stack:
            stack.callback(os.close, self._fd)
            file = stack.enter_context(open(self._path, "wb", buffering=0)) if self._path else None
            while chunk := _read(self._fd):
                if file is not None and not self._kept(file, chunk):
                    file = None
                self.total_bytes += len(chunk)
                self._tail.append(chunk)
                self._tail_bytes += len(chunk)
                while self._tail_bytes - len(self._tail[0]) > TAIL_BYTES:
                    self._tail_bytes -= len(self._tail.popleft())

    def _kept(self, file: FileIO, chunk: bytes) -> bool:
        """Append to the file; return whether it takes more. On a full disk the target must go on all the same."""
        try:
            file.write(chunk[: FILE_LIMIT_BYTES - self.total_bytes])
        except OSError:
            return False
        return self.total_bytes + len(chunk) < FILE_LIMIT_BYTES

    def tail(self, timeout_s: float = 2.0) -> str:
        """Return the end of the output as text, waiting a moment for what is still in the pipe."""
        self._thread.join(timeout_s)
        return b"".join(list(self._tail))[-TAIL_BYTES:].decode("utf-8", "replace")


def _read(fd: int) -> bytes:
    try:
        return os.read(fd, 1 << 16)
    except OSError:
        return b""
