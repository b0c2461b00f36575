"""Handlers of ``logging`` that take their time, served behind the caller; which ones is found out by timing."""

from __future__ import annotations

import copy
import logging
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any

from gputune.probes.runtime.background import BackgroundThread

SLOW_S = 0.001
"""A handler that takes longer than this is worth a queue; a write to a local file takes a hundredth of it."""
TIMES_SLOW = 2
"""So many slow calls in a row make a handler a slow one: a single one may be its first opening of a file."""

Handle = Callable[[logging.Handler, logging.LogRecord], Any]


class SlowHandlers:
    """Stands in for ``logging.Handler.handle``: fast handlers are called as ever, slow ones from a thread of their own.

    Filters run at the call and the message is fixed there, so a record says what it said then. ``flush`` and
    ``close`` of such a handler, and the exit of the process, wait for its queue.

    Args:
        handle: the function it stands in for.
    """

    def __init__(self, handle: Handle) -> None:
        self._handle = handle
        self._lock = threading.Lock()
        self._times_slow: weakref.WeakKeyDictionary[logging.Handler, int] = weakref.WeakKeyDictionary()
        self._queues: weakref.WeakKeyDictionary[logging.Handler, BackgroundThread] = weakref.WeakKeyDictionary()

    def handle(self, handler: logging.Handler, record: logging.LogRecord) -> Any:
        """Handle a record, at once or later."""
        background = self._queues.get(handler)
        if background is None:
            return self._timed(handler, record)
        passed = handler.filter(record)
        if passed:
            kept = copy.copy(passed if isinstance(passed, logging.LogRecord) else record)
            kept.msg, kept.args = kept.getMessage(), None
            background.put(_emit, weakref.ref(handler), kept)
        return passed

    def flush(self) -> None:
        """Block until every record is out.

        Raises:
            BackgroundError: a handler raised.
        """
        for background in list(self._queues.values()):
            background.flush()

    def _timed(self, handler: logging.Handler, record: logging.LogRecord) -> Any:
        start_s = time.perf_counter()
        try:
            return self._handle(handler, record)
        finally:
            if time.perf_counter() - start_s > SLOW_S:
                with self._lock:
                    self._times_slow[handler] = self._times_slow.get(handler, 0) + 1
                    if self._times_slow[handler] >= TIMES_SLOW and handler not in self._queues:
                        self._queues[handler] = _queue_before(handler)
            else:
                self._times_slow.pop(handler, None)


def _queue_before(handler: logging.Handler) -> BackgroundThread:
    """Return a queue that the handler's own flush and close wait for."""
    background = BackgroundThread(f"handler {type(handler).__name__}")
    # In the instance: these methods are overridden in every class of handlers.
    for name in ("flush", "close"):
        setattr(handler, name, _after(background, getattr(handler, name)))
    return background


def _after(background: BackgroundThread, method: Callable[[], None]) -> Callable[[], None]:
    def call() -> None:
        background.flush()
        method()

    return call


def _emit(reference: weakref.ref[logging.Handler], record: logging.LogRecord) -> None:
    handler = reference()
    if handler is None:
        return
    handler.acquire()
    try:
        handler.emit(record)
    finally:
        handler.release()
