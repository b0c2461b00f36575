"""``SummaryWriter`` made asynchronous in place: the bodies of its ``add_*`` methods run in a thread of its
own.

The wall time is fixed at the call, arguments are snapshots, order is kept. ``flush``, ``close`` and the exit
of the process wait for everything. ``add_graph`` stays synchronous: it traces the live model.
"""

from __future__ import annotations

import functools
import inspect
import time
import weakref
from collections.abc import Callable
from typing import Any

from gputune.probes.runtime.background import DEFAULT_CAPACITY, BackgroundError, BackgroundThread, WhenFull
from gputune.probes.runtime.snapshot import settle, snapshot

_SYNCHRONOUS = frozenset({"add_graph", "add_onnx_graph", "add_custom_scalars", "add_hparams"})
_BARRIERS = ("flush", "close", "export_scalars_to_json")
_BACKGROUND = "_gputune_background"

_installed: AsyncMethods | None = None


class AsyncMethods:
    """The methods of one writer class as they are when they work behind the caller.

    Args:
        writer_class: torch's ``SummaryWriter`` or tensorboardX's.
        capacity: calls of one writer that may wait.
        when_full: see :class:`BackgroundThread`.
    """

    def __init__(self, writer_class: type, capacity: int = DEFAULT_CAPACITY, when_full: WhenFull = "block") -> None:
        self.writer_class = writer_class
        self.originals = {
            name: method
            for name, method in inspect.getmembers(writer_class, inspect.isfunction)
            if name in _BARRIERS or name.startswith("add_")
        }
        self.replacements = {name: self._replacement(name) for name in self.originals}
        self._capacity, self._when_full = capacity, when_full
        self._open: weakref.WeakSet[BackgroundThread] = weakref.WeakSet()

    def flush(self) -> None:
        """Block until every writer has written what it was given.

        Raises:
            BackgroundError: a call failed; the others were made all the same.
        """
        failed: BackgroundError | None = None
        for background in list(self._open):
            try:
                background.flush()
            except BackgroundError as error:
                failed = failed or error
        if failed is not None:
            raise failed

    def _replacement(self, name: str) -> Callable[..., Any]:
        method = self.originals[name]
        if name in _BARRIERS:
            return _barrier(name, method)
        return _after_flush(method) if name in _SYNCHRONOUS else self._later(method)

    def _later(self, method: Callable[..., Any]) -> Callable[..., Any]:
        names = list(inspect.signature(method).parameters)
        position = names.index("walltime") - 1 if "walltime" in names else None

        @functools.wraps(method)
        def add(writer: Any, *args: Any, **kwargs: Any) -> None:
            if position is not None:
                if len(args) <= position:
                    if kwargs.get("walltime") is None:
                        kwargs["walltime"] = time.time()
                elif args[position] is None:
                    args = (*args[:position], time.time(), *args[position + 1 :])
            self._background_of(writer).put(_add_settled, method, writer, snapshot(args), snapshot(kwargs))

        return add

    def _background_of(self, writer: Any) -> BackgroundThread:
        # In the instance, so that each writer keeps an order of its own and takes its thread along when it goes.
        found = writer.__dict__.get(_BACKGROUND)
        if found is None:
            found = writer.__dict__[_BACKGROUND] = BackgroundThread("SummaryWriter", self._capacity, self._when_full)
            # The event writer behind it has a thread and a queue of its own, which exit would cut off.
            flush, reference = self.originals["flush"], weakref.ref(writer)
            found.at_exit = lambda: flush(alive) if (alive := reference()) is not None else None
            self._open.add(found)
        assert isinstance(found, BackgroundThread)
        return found


def install_async_logging(capacity: int = DEFAULT_CAPACITY, when_full: WhenFull = "block") -> bool:
    """Make torch's ``SummaryWriter`` asynchronous; returns False where there is no tensorboard."""
    global _installed
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return False
    if _installed is None:
        _installed = AsyncMethods(SummaryWriter, capacity, when_full)
        for name, replacement in _installed.replacements.items():
            setattr(SummaryWriter, name, replacement)
    return True


def uninstall_async_logging() -> None:
    """Put the original methods back; writers that are open finish what they have when they are flushed."""
    global _installed
    if _installed is not None:
        for name, method in _installed.originals.items():
            setattr(_installed.writer_class, name, method)
        _installed = None


def _add_settled(method: Any, writer: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    method(writer, *settle(args), **settle(kwargs))


def _after_flush(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        _flush(self)
        return method(self, *args, **kwargs)

    return call


def _barrier(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            _flush(self)
        finally:
            result = method(self, *args, **kwargs)
            if name == "close":
                background = self.__dict__.pop(_BACKGROUND, None)
                if background is not None:
                    background.close()
        return result

    return call


def _flush(writer: Any) -> None:
    background = writer.__dict__.get(_BACKGROUND)
    if background is not None:
        background.flush()
