"""Whoever touches a file still being written waits for it, and sees what a synchronous save would show.

Three nets: Python's audit events (opening, renaming, removing, listing, copying, starting programs), wrappers
around the calls that raise no event (stat, access, ``os._exit``, spawned workers,
``torch.distributed.barrier``), and forks, whose children inherit the list of pending files (see
:class:`PendingPaths`).

Not seen: a program that was already running and learns the name through a pipe or a socket, and native code
that opens the path itself without asking Python.
"""

from __future__ import annotations

import functools
import multiprocessing.process
import os
import sys
import threading
from collections.abc import Callable
from typing import Any

from gputune.probes.runtime.checkpoint.pending import PendingPaths

_PATH_EVENTS = frozenset(
    {
        "open", "os.rename", "os.remove", "os.link", "os.symlink", "os.truncate", "os.chmod", "os.chown",
        "os.utime", "os.setxattr", "os.getxattr", "os.listxattr", "os.removexattr", "os.startfile",
        "sqlite3.connect", "shutil.copyfile", "shutil.copymode", "shutil.copystat", "glob.glob",
    }
)  # fmt: skip
_TREE_EVENTS = frozenset(
    {
        "os.listdir", "os.scandir", "os.rename", "os.rmdir", "shutil.rmtree", "shutil.copytree",
        "shutil.move", "shutil.make_archive", "os.symlink",
    }
)  # fmt: skip
_PROGRAM_EVENTS = frozenset({"subprocess.Popen", "os.exec", "os.system", "os.posix_spawn", "os.spawn", "pty.spawn"})
_WATCHED = _PATH_EVENTS | _TREE_EVENTS | _PROGRAM_EVENTS
_STAT_FUNCTIONS = ("stat", "lstat", "access")


class Barriers:
    """Makes accesses to pending files wait. Install once; an audit hook cannot be removed, only silenced."""

    def __init__(self, pending: PendingPaths) -> None:
        self._pending = pending
        self._guard = threading.local()
        self._active = False
        self._hooked = False
        self._undo: list[Callable[[], None]] = []

    def install(self) -> None:
        """Start watching."""
        self._active = True
        if not self._hooked:
            sys.addaudithook(self._on_audit)
            self._hooked = True
        for name in _STAT_FUNCTIONS:
            self._wrap(os, name, lambda path, *_a, **_k: self._touch(path, tree=False))
        self._wrap(os, "_exit", lambda *_a: self._pending.wait_all(inherited=False))
        self._wrap(multiprocessing.process.BaseProcess, "start", self._on_process_start)
        distributed = sys.modules.get("torch.distributed")
        if distributed is not None and hasattr(distributed, "barrier"):
            # "rank 0 saves, barrier, every rank loads": the others are let go only once the file is there.
            self._wrap(distributed, "barrier", lambda *_a, **_k: self._pending.wait_all())

    def uninstall(self) -> None:
        """Stop watching and put the wrapped functions back."""
        self._active = False
        while self._undo:
            self._undo.pop()()

    def _wrap(self, owner: Any, name: str, before: Callable[..., None]) -> None:
        real = getattr(owner, name)

        @functools.wraps(real)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            if self._pending:
                before(*args, **kwargs)
            return real(*args, **kwargs)

        def undo() -> None:
            # Somebody may have wrapped our wrapper since: then it stays, and only forwards.
            if getattr(owner, name) is wrapper:
                setattr(owner, name, real)

        setattr(owner, name, wrapper)
        self._undo.append(undo)

    def _on_process_start(self, process: Any) -> None:
        method = getattr(process, "_start_method", None) or multiprocessing.get_start_method(allow_none=True)
        if method not in (None, "fork"):
            # a spawned child inherits nothing, so it has to find everything in place
            self._pending.wait_all()

    def _on_audit(self, event: str, args: tuple[Any, ...]) -> None:
        if event not in _WATCHED or not self._pending or not self._active or self._pending.is_internal():
            return
        if event in _PROGRAM_EVENTS:
            self._pending.wait_all()
            return
        tree = event in _TREE_EVENTS
        for argument in args[:2]:
            if isinstance(argument, str | bytes | os.PathLike):
                self._touch(argument, tree=tree)
            elif tree and isinstance(argument, int) and argument >= 0:
                # a directory given as a descriptor: which one is not worth finding out
                self._pending.wait_all()
        if event in ("os.listdir", "os.scandir") and args and args[0] is None:
            self._touch(os.curdir, tree=True)

    def _touch(self, path: object, *, tree: bool) -> None:
        """Wait for ``path``; with ``tree`` also for every pending file below it."""
        if getattr(self._guard, "inside", False) or self._pending.is_internal():
            return
        if not isinstance(path, str | bytes | os.PathLike):
            return
        self._guard.inside = True  # realpath itself calls lstat
        try:
            text = os.fsdecode(path)
            real = os.path.realpath(text)
            for pending in self._pending.paths():
                same_name = not os.path.isabs(text) and os.path.basename(pending) == os.path.basename(text)
                below = tree and pending.startswith(real.rstrip(os.sep) + os.sep)
                if pending == real or below or same_name:  # the name alone: it may be relative to a dir_fd
                    self._pending.wait(pending)
        except ValueError:
            return  # a path with a null byte: the call itself will say so
        finally:
            self._guard.inside = False
