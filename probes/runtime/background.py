"""One thread that does queued work in order, with a bound on what may wait."""

from __future__ import annotations

import atexit
import collections
import os
import sys
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any, Literal

WhenFull = Literal["block", "drop_oldest", "drop_newest"]
Call = Callable[..., Any]
DEFAULT_CAPACITY = 10_000

_alive: weakref.WeakSet[BackgroundThread] = weakref.WeakSet()


class BackgroundError(RuntimeError):
    """A call that was made in the background failed."""


class BackgroundThread:
    """Runs calls one after the other, in the order they were put.

    Args:
        name: what it works for; names the thread and the messages.
        capacity: calls that may wait.
        when_full: "block" waits for room (nothing is lost; the default), "drop_oldest" and "drop_newest" lose
        a call,
            count it in :attr:`dropped` and say so once.

    A call that raises does not stop those behind it; the first error is raised by the next :meth:`flush` or
    :meth:`close`, and printed at exit if nobody asked.
    """

    def __init__(self, name: str, capacity: int = DEFAULT_CAPACITY, when_full: WhenFull = "block") -> None:
        if capacity < 1:
            raise ValueError(f"capacity must be at least 1, not {capacity}")
        if when_full not in ("block", "drop_oldest", "drop_newest"):
            raise ValueError(f"when_full must be block, drop_oldest or drop_newest, not {when_full!r}")
        self.name, self.capacity, self.when_full = name, capacity, when_full
        self.at_exit: Callable[[], object] = lambda: None
        """Called once everything is flushed at exit: what the wrapped object still holds back itself."""
        self.dropped = 0
        """Calls lost because the queue was full."""
        self.blocked_s = 0.0
        """Seconds callers waited for room."""
        self._reset()
        _alive.add(self)

    def _reset(self) -> None:
        self._calls: collections.deque[tuple[Call, tuple[Any, ...], dict[str, Any]]] = collections.deque()
        # An RLock underneath: a signal handler may log while the interrupted thread is logging.
        self._changed = threading.Condition()
        self._busy = False
        self._closed = False
        self._errors: list[BaseException] = []
        self._thread: threading.Thread | None = None

    def put(self, call: Call, *args: Any, **kwargs: Any) -> None:
        """Have ``call(*args, **kwargs)`` run; after :meth:`close` it runs at once."""
        if threading.current_thread() is self._thread:
            call(*args, **kwargs)  # a call that itself logs keeps its place
            return
        with self._changed:
            if not self._closed:
                if len(self._calls) >= self.capacity and not self._make_room():
                    return
                self._calls.append((call, args, kwargs))
                if not self._busy:
                    self._start()
                    self._changed.notify_all()
                return
        call(*args, **kwargs)

    def flush(self) -> None:
        """Block until everything put so far is done.

        Raises:
            BackgroundError: a call failed since the last flush.
        """
        if threading.current_thread() is self._thread:
            return
        with self._changed:
            while self._calls or self._busy:
                self._changed.wait()
            errors, self._errors = self._errors, []
        if errors:
            raise BackgroundError(f"{self.name}: {errors[0]} ({len(errors)} failed)") from errors[0]

    def close(self) -> None:
        """Finish everything and end the thread.

        Raises:
            BackgroundError: a call failed since the last flush.
        """
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()
        self.flush()

    def _make_room(self) -> bool:
        """Apply the policy; returns whether there is room now."""
        if self.when_full == "block":
            started = time.perf_counter()
            while len(self._calls) >= self.capacity:
                self._changed.wait()
            self.blocked_s += time.perf_counter() - started
            return True
        self.dropped += 1
        if self.dropped == 1:
            print(f"gputune: {self.name}: queue of {self.capacity} is full, dropping", file=sys.stderr)
        if self.when_full == "drop_oldest":
            self._calls.popleft()
            return True
        return False

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._serve, name=f"gputune-{self.name}", daemon=True)
            self._thread.start()

    def _serve(self) -> None:
        while True:
            with self._changed:
                if not self._calls:
                    self._busy = False
                    self._changed.notify_all()
                    while not self._calls and not self._closed:
                        self._changed.wait()
                    if not self._calls:
                        return
                self._busy = True  # also for the first call, which is there before the thread is
                call, args, kwargs = self._calls.popleft()
                if len(self._calls) == self.capacity - 1:
                    self._changed.notify_all()
            try:
                call(*args, **kwargs)
            # Whatever a user's handler raises must not end the thread; flush raises it where it is seen.
            except BaseException as error:  # noqa: BLE001
                self._errors.append(error)

    def after_fork_in_child(self) -> None:
        """Start afresh: what was queued belongs to the parent, which will do it."""
        self._reset()


def _flush_at_exit() -> None:
    for background in list(_alive):
        try:
            background.flush()
            background.at_exit()
        # At exit nobody is left to catch it, and the next writer must be flushed too.
        except Exception as error:  # noqa: BLE001
            print(f"gputune: {error}", file=sys.stderr)


def _after_fork() -> None:
    for background in list(_alive):
        background.after_fork_in_child()


# Last in, first out: registered at import, it runs after the handlers of the script, whose last words it
# writes.
atexit.register(_flush_at_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
