"""Which files are not written yet, and how to wait for them: in this process and in the children it forks."""

from __future__ import annotations

import mmap
import os
import struct
import threading
import time

_POLL_S = 0.001
_COUNTER = struct.Struct("<q")


class PendingPaths:
    """The files whose writes are under way. Thread-safe; waits never hold the lock of anything else.

    A forked child cannot run its parent's writer, so it inherits the tickets and reads the parent's progress
    from a page both share: starting loader workers right after a save costs nothing, and a child that does
    touch the file still sees it whole.
    """

    def __init__(self) -> None:
        self._page = mmap.mmap(-1, mmap.PAGESIZE)
        self._last_ticket = 0
        self._inherited: dict[str, int] = {}
        self._inherited_page: mmap.mmap | None = None
        self._parent_pid = 0
        self._reset()

    def _reset(self) -> None:
        # An RLock underneath: a signal handler that saves or opens a file may interrupt us while we hold it.
        self._changed = threading.Condition()
        self._tickets: dict[str, int] = {}
        self._internal = threading.local()

    def __bool__(self) -> bool:
        return bool(self._tickets) or bool(self._inherited)

    def begin(self, path: str) -> int:
        """Note that ``path`` will be written; returns the ticket for :meth:`end`."""
        with self._changed:
            self._last_ticket += 1
            self._tickets[path] = self._last_ticket
            return self._last_ticket

    def end(self, path: str, ticket: int) -> None:
        """Note that the write behind ``ticket`` is over, well or not."""
        with self._changed:
            if self._tickets.get(path) == ticket:
                del self._tickets[path]
            # One write at a time, in order: the highest finished ticket tells a forked child everything.
            _COUNTER.pack_into(self._page, 0, max(ticket, _COUNTER.unpack_from(self._page)[0]))
            self._changed.notify_all()

    def paths(self) -> tuple[str, ...]:
        """Return the real paths being written, a fork's inheritance included."""
        return (*self._tickets, *self._inherited)

    def wait(self, path: str) -> None:
        """Block until ``path`` is not being written."""
        if self.is_internal():
            return
        with self._changed:
            while path in self._tickets:
                self._changed.wait()
        ticket = self._inherited.get(path)
        if ticket is not None:
            self._wait_for_parent(ticket)
            self._inherited.pop(path, None)

    def wait_all(self, *, inherited: bool = True) -> None:
        """Block until nothing is being written (by default also by the process that forked this one)."""
        for path in tuple(self._tickets) + (tuple(self._inherited) if inherited else ()):
            self.wait(path)

    def mark_internal(self) -> None:
        """Exempt the calling thread from all waits: it is the writer."""
        self._internal.is_writer = True

    def is_internal(self) -> bool:
        """Tell whether the calling thread is the writer."""
        return getattr(self._internal, "is_writer", False)

    def after_fork_in_child(self, parent_pid: int) -> None:
        """Turn the parent's tickets into an inheritance."""
        self._inherited = {**self._inherited, **self._tickets}
        self._inherited_page, self._parent_pid = self._page, parent_pid
        self._page = mmap.mmap(-1, mmap.PAGESIZE)
        self._last_ticket = 0
        self._reset()

    def _wait_for_parent(self, ticket: int) -> None:
        page = self._inherited_page
        assert page is not None
        while _COUNTER.unpack_from(page)[0] < ticket and os.getppid() == self._parent_pid:
            time.sleep(_POLL_S)
