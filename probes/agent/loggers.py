"""Times what loggers do on the main thread: TensorBoard's writers, and handlers of ``logging`` that take their time."""

from __future__ import annotations

import functools
import logging
import sys
import threading
import time
from collections.abc import Callable
from types import ModuleType
from typing import Any

from gputune.probes.attach.wake import AfterImport

WORTH_S = 0.001
"""A ``logging`` handler faster than this is not reported; most take microseconds."""
WRITERS = {"torch.utils.tensorboard.writer": "TensorBoard", "tensorboardX.writer": "tensorboardX"}
"""Modules with a ``SummaryWriter``, and what the library is called."""

Report = Callable[[float, float, str], None]
_depth = threading.local()


def install(report: Report, after_import: AfterImport) -> None:
    """Report start, duration and library of each call that held the main thread up."""
    _time_handlers(report)
    for module, library in WRITERS.items():
        if module in sys.modules:
            _time_writer(sys.modules[module], library, report)
        else:
            after_import(module, functools.partial(_imported, library, report))


def _imported(library: str, report: Report, module: ModuleType) -> None:
    _time_writer(module, library, report)


def _time_writer(module: ModuleType, library: str, report: Report) -> None:
    writer = getattr(module, "SummaryWriter", None)
    if writer is None:
        return
    for name in [name for name in vars(writer) if name.startswith("add_") or name == "flush"]:
        setattr(writer, name, _timed(getattr(writer, name), library, report, 0.0))


def _time_handlers(report: Report) -> None:
    original = logging.Handler.handle

    @functools.wraps(original)
    def handle(self: logging.Handler, record: logging.LogRecord) -> Any:
        if threading.current_thread() is not threading.main_thread() or getattr(_depth, "inside", False):
            return original(self, record)
        start_s = time.monotonic()
        try:
            return original(self, record)
        finally:
            duration_s = time.monotonic() - start_s
            if duration_s > WORTH_S:
                report(start_s, duration_s, f"logging.{type(self).__name__}")

    logging.Handler.handle = handle  # type: ignore[method-assign]


def _timed(original: Callable[..., Any], library: str, report: Report, least_s: float) -> Callable[..., Any]:
    @functools.wraps(original)
    def logged_call(*args: Any, **kwargs: Any) -> Any:
        # Writers call themselves (add_figure calls add_image): only the outermost call is the user's.
        if threading.current_thread() is not threading.main_thread() or getattr(_depth, "inside", False):
            return original(*args, **kwargs)
        _depth.inside, start_s = True, time.monotonic()
        try:
            return original(*args, **kwargs)
        finally:
            _depth.inside = False
            report(start_s, time.monotonic() - start_s, library)

    return logged_call
