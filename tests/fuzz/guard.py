"""Watches a process for writes and commands that no input may cause."""

from __future__ import annotations

import os
import sys
from typing import Any

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_FORBIDDEN = (
    "os.system", "os.exec", "os.fork", "os.posix_spawn", "subprocess.Popen", "os.remove", "os.rename", "os.mkdir",
    "os.symlink", "os.link", "os.chmod", "os.truncate", "shutil.rmtree", "socket.connect", "socket.bind",
    "pickle.find_class", "ctypes.dlopen",
)  # fmt: skip


class Guard:
    """Raises where watched code writes outside one folder, starts a program, connects or unpickles.

    An audit hook stays for the life of the process; the guard is on only inside its ``with`` block.
    """

    def __init__(self, allowed: str) -> None:
        self._allowed = allowed
        self._on = False
        sys.addaudithook(self._heard)

    def __enter__(self) -> Guard:
        self._on = True
        return self

    def __exit__(self, *_: object) -> None:
        self._on = False

    def _heard(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self._on:
            return
        if event in _FORBIDDEN:
            raise AssertionError(f"an input caused {event}{arguments}")
        if event == "open" and isinstance(arguments[0], (str, bytes)):
            path, _, flags = arguments
            if flags & _WRITING and not os.fsdecode(path).startswith(self._allowed):
                raise AssertionError(f"an input caused a write to {path!r}")
