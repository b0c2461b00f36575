"""Stands in for what loggers do on the main thread: times it, and has it done behind it when asked to.

TensorBoard's writers, and handlers of ``logging`` that take their time. The stand-ins stay for the whole process and
only what they call changes.
"""

from __future__ import annotations

import functools
import logging
import sys
import threading
import time
from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING, Any

from gputune.probes.attach.wake import AfterImport

if TYPE_CHECKING:
    from gputune.probes.runtime.slow_handlers import SlowHandlers
    from gputune.probes.runtime.tensorboard import AsyncMethods

WORTH_S = 0.001
"""A ``logging`` handler faster than this is not reported; most take microseconds."""
WRITERS = {"torch.utils.tensorboard.writer": "TensorBoard", "tensorboardX.writer": "tensorboardX"}
"""Modules with a ``SummaryWriter``, and what the library is called."""

Report = Callable[[float, float, str], None]
_depth = threading.local()


class Logging:
    """How this process logs.

    Args:
        report: told start, duration and library of each call that held the main thread up; ``None`` where nobody
            measures.
    """

    def __init__(self, report: Report | None = None) -> None:
        self._report = report
        self._asynchronous = False
        self._writers: list[AsyncMethods] = []
        self._slow: SlowHandlers | None = None
        self._handle: Any = None

    def install(self, after_import: AfterImport) -> None:
        """Take the place of the handlers' and, once they are imported, the writers' methods."""
        self._stand_in_for_handlers()
        for module, library in WRITERS.items():
            if module in sys.modules:
                self._imported(library, sys.modules[module])
            else:
                after_import(module, functools.partial(self._imported, library))

    def use(self, asynchronous: bool) -> None:
        """Log in this way from now on; what is queued is written first.

        Raises:
            BackgroundError: a call that was made behind the main thread failed.
        """
        if asynchronous and self._slow is None:
            from gputune.probes.runtime.slow_handlers import SlowHandlers

            self._slow = SlowHandlers(self._handle)
        was, self._asynchronous = self._asynchronous, asynchronous
        if was and not asynchronous:
            for writer in self._writers:
                writer.flush()
            if self._slow is not None:
                self._slow.flush()

    def _stand_in_for_handlers(self) -> None:
        self._handle = original = logging.Handler.handle

        @functools.wraps(original)
        def handle(handler: logging.Handler, record: logging.LogRecord) -> Any:
            slow = self._slow if self._asynchronous else None
            call = original if slow is None else slow.handle
            if not self._is_watching():
                return call(handler, record)
            start_s = time.monotonic()
            try:
                return call(handler, record)
            finally:
                duration_s = time.monotonic() - start_s
                if duration_s > WORTH_S and self._report is not None:
                    self._report(start_s, duration_s, f"logging.{type(handler).__name__}")

        logging.Handler.handle = handle  # type: ignore[method-assign, assignment]

    def _is_watching(self) -> bool:
        """Whether this call is the user's own and on the main thread: writers call themselves."""
        inside = getattr(_depth, "inside", False)
        return self._report is not None and threading.current_thread() is threading.main_thread() and not inside

    def _imported(self, library: str, module: ModuleType) -> None:
        writer = getattr(module, "SummaryWriter", None)
        if writer is None:
            return
        from gputune.probes.runtime.tensorboard import AsyncMethods

        methods = AsyncMethods(writer)
        self._writers.append(methods)
        for name in methods.originals:
            setattr(writer, name, self._stand_in(methods, name, library))

    def _stand_in(self, methods: AsyncMethods, name: str, library: str) -> Callable[..., Any]:
        original, replacement = methods.originals[name], methods.replacements[name]

        @functools.wraps(original)
        def logged_call(*args: Any, **kwargs: Any) -> Any:
            call = replacement if self._asynchronous else original
            if not self._is_watching():
                return call(*args, **kwargs)
            _depth.inside, start_s = True, time.monotonic()
            try:
                return call(*args, **kwargs)
            finally:
                _depth.inside = False
                if self._report is not None:
                    self._report(start_s, time.monotonic() - start_s, library)

        return logged_call
