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

from gputune.probes.runtime.background import DEFAULT_CAPACITY, BackgroundThread, WhenFull
from gputune.probes.runtime.snapshot import settle, snapshot

_SYNCHRONOUS = frozenset({"add_graph", "add_onnx_graph", "add_custom_scalars", "add_hparams"})
_BARRIERS = ("flush", "close")
_BACKGROUND = "_gputune_background"

_originals: dict[str, Any] = {}
_patched: list[type] = []


def install_async_logging(capacity: int = DEFAULT_CAPACITY, when_full: WhenFull = "block") -> bool:
    """Make torch's ``SummaryWriter`` asynchronous; returns False where there is no tensorboard."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return False
    if _patched:
        return True
    for name, method in inspect.getmembers(SummaryWriter, inspect.isfunction):
        if name in _BARRIERS:
            replacement = _barrier(name, method)
        elif name in _SYNCHRONOUS:
            replacement = _after_flush(method)
        elif name.startswith("add_"):
            replacement = _later(method, capacity, when_full)
        else:
            continue
        _originals[name] = method
        setattr(SummaryWriter, name, replacement)
    _patched.append(SummaryWriter)
    return True


def uninstall_async_logging() -> None:
    """Put the original methods back; writers that are open finish what they have when they are flushed."""
    while _patched:
        writer_class = _patched.pop()
        for name, method in _originals.items():
            setattr(writer_class, name, method)
    _originals.clear()


def _background_of(writer: Any, capacity: int, when_full: WhenFull) -> BackgroundThread:
    # In the instance, so that each writer keeps an order of its own and takes its thread along when it goes.
    found = writer.__dict__.get(_BACKGROUND)
    if found is None:
        found = writer.__dict__[_BACKGROUND] = BackgroundThread("SummaryWriter", capacity, when_full)
        # The event writer behind it has a thread and a queue of its own, which exit would cut off.
        flush, reference = _originals["flush"], weakref.ref(writer)
        found.at_exit = lambda: flush(alive) if (alive := reference()) is not None else None
    assert isinstance(found, BackgroundThread)
    return found


def _later(method: Callable[..., Any], capacity: int, when_full: WhenFull) -> Callable[..., Any]:
    names = list(inspect.signature(method).parameters)
    position = names.index("walltime") - 1 if "walltime" in names else None

    @functools.wraps(method)
    def add(self: Any, *args: Any, **kwargs: Any) -> None:
        if position is not None:
            if len(args) <= position:
                if kwargs.get("walltime") is None:
                    kwargs["walltime"] = time.time()
            elif args[position] is None:
                args = (*args[:position], time.time(), *args[position + 1 :])
        background = _background_of(self, capacity, when_full)
        background.put(_add_settled, method, self, snapshot(args), snapshot(kwargs))

    return add


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
