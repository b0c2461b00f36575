"""Logging off the training thread: ``async_writer`` for files, ``AsyncLogger`` for trackers."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable
from typing import IO, Any

from gputune.probes.runtime.background import DEFAULT_CAPACITY, BackgroundThread, WhenFull
from gputune.probes.runtime.snapshot import settle, snapshot


class AsyncWriter:
    """A file object whose ``write`` returns at once; reading from it is not offered.

    It goes wherever text or bytes are written: ``csv.writer(async_writer(file))``, ``print(..., file=...)``.
    """

    def __init__(self, file: IO[Any], background: BackgroundThread) -> None:
        self._file, self._background = file, background

    def write(self, data: Any) -> int:
        """Queue ``data`` and return its length."""
        kept = data if isinstance(data, str | bytes) else bytes(data)
        self._background.put(self._file.write, kept)
        return len(kept)

    def writelines(self, lines: Iterable[Any]) -> None:
        """Queue every line."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Block until everything is written and handed to the system.

        Raises:
            BackgroundError: a write failed.
        """
        self._background.flush()
        self._file.flush()

    def close(self) -> None:
        """Write everything, then close the file.

        Raises:
            BackgroundError: a write failed; the file is closed all the same.
        """
        try:
            self._background.close()
        finally:
            self._file.close()

    def __enter__(self) -> AsyncWriter:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def async_writer(file: IO[Any], *, capacity: int = DEFAULT_CAPACITY, when_full: WhenFull = "block") -> AsyncWriter:
    """Return a stand-in for ``file`` that writes in the background, in order; exit flushes it."""
    label = str(getattr(file, "name", type(file).__name__))
    return AsyncWriter(file, BackgroundThread(f"writer of {label}", capacity, when_full))


class AsyncLogger:
    """Wraps any logging object: chosen methods return at once and run in the background, in order.

    Arguments are captured at the call (tensors detached and copied), so what is logged is what it was then.
    Return values of the wrapped methods are lost: wrap only what is called for its effect.

    Args:
        target: a tracker (``wandb.run``, an mlflow module, ...) or anything with methods.
        methods: which of its methods to make asynchronous.
    """

    def __init__(
        self,
        target: Any,
        methods: Iterable[str] = ("log", "log_metric", "log_metrics"),
        *,
        capacity: int = DEFAULT_CAPACITY,
        when_full: WhenFull = "block",
    ) -> None:
        self._target = target
        self._methods = frozenset(methods)
        missing = [name for name in sorted(self._methods) if not hasattr(target, name)]
        if len(missing) == len(self._methods):
            raise ValueError(f"{type(target).__name__} has none of the methods {', '.join(missing)}")
        self.background = BackgroundThread(type(target).__name__, capacity, when_full)

    def flush(self) -> None:
        """Block until every call is done.

        Raises:
            BackgroundError: one failed.
        """
        self.background.flush()
        if hasattr(self._target, "flush"):
            self._target.flush()

    def close(self) -> None:
        """Finish all calls, then close the target if it can be closed.

        Raises:
            BackgroundError: a call failed.
        """
        self.background.close()
        if hasattr(self._target, "close"):
            self._target.close()

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._target, name)
        if name not in self._methods:
            return found

        def later(*args: Any, **kwargs: Any) -> None:
            self.background.put(_call_settled, found, snapshot(args), snapshot(kwargs))

        return later


def _call_settled(call: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    call(*settle(args), **settle(kwargs))


class AsyncHandler(logging.Handler):
    """Puts a slow handler behind a queue: the record is formatted at the call, emitted in the background."""

    def __init__(
        self, handler: logging.Handler, *, capacity: int = DEFAULT_CAPACITY, when_full: WhenFull = "block"
    ) -> None:
        super().__init__(handler.level)
        self.handler = handler
        self._background = BackgroundThread(f"handler {handler}", capacity, when_full)

    def emit(self, record: logging.LogRecord) -> None:
        """Fix the message now, while its arguments are what they are, and queue the record."""
        record.msg, record.args = record.getMessage(), None
        self._background.put(self.handler.handle, record)

    def flush(self) -> None:
        """Block until every record is out."""
        self._background.flush()
        self.handler.flush()

    def close(self) -> None:
        """Emit what is queued, then close both handlers."""
        self._background.close()
        self.handler.close()
        super().close()


_wrap_lock = threading.Lock()


def make_handlers_async(logger: logging.Logger | None = None) -> list[AsyncHandler]:
    """Put every handler of ``logger`` (the root by default) behind a queue of its own; returns the new ones.

    Worth it for slow handlers only: a queue costs about as much as a write to a local file.
    """
    logger = logger or logging.getLogger()
    with _wrap_lock:
        slow = [handler for handler in logger.handlers if not isinstance(handler, AsyncHandler)]
        wrapped = [AsyncHandler(handler) for handler in slow]
        logger.handlers = [handler for handler in logger.handlers if handler not in slow]
        logger.handlers.extend(wrapped)
    return wrapped
