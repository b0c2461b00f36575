"""Changes the settings of a *running* loader iterator, in place.

The user's loop holds the iterator object, libraries test its class, and torch's C side knows it by address, so the
same object is given a new class and a new ``__dict__``; a proxy would break all three. The sampler is not asked
again: its iterator is kept in an :class:`IndexRecorder`, and work that was handed out but not yet returned is
handed out again. Private names of torch used here are listed in ``torch_private``.
"""

from __future__ import annotations

import inspect
import os
import signal
import sys
import time
from collections.abc import Sequence
from typing import Any

from gputune.probes.agent.recorder import IndexRecorder, SameSampler
from gputune.probes.settings import Settings

GRACE_S = 0.1
"""How long workers may take to end by themselves before they are killed; their work is repeated anyway."""
PIN_GRACE_S = 10.0
"""With a pin thread a worker killed in the middle of a write could leave the thread reading for ever."""


class LoaderView:
    """A loader with some attributes overridden; iterators only read attributes, so this is enough to build one.

    A shallow copy of the loader would not do: some libraries' loaders stop their workers when a copy is deleted.
    """

    def __init__(self, loader: Any, overrides: dict[str, Any]) -> None:
        self.__dict__.update(_loader=loader, _overrides=overrides)

    def __getattr__(self, name: str) -> Any:
        overrides = self.__dict__["_overrides"]
        return overrides[name] if name in overrides else getattr(self.__dict__["_loader"], name)


class Remembered:
    """Stands in for a loader that the user's loop has let go of while its iterator lives on.

    Args:
        loader: what to remember.
        iterator: left out of it, because the iterator is what holds this.
    """

    def __init__(self, loader: Any, iterator: Any) -> None:
        self.__dict__.update({name: value for name, value in vars(loader).items() if value is not iterator})
        self.__dict__["_kind"] = type(loader)

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        kind = self.__dict__["_kind"]
        assert isinstance(kind, type)
        return kind

    def __len__(self) -> int:
        return int(self.__dict__["_kind"].__len__(self))

    def __getattr__(self, name: str) -> Any:
        kind = self.__dict__["_kind"]
        member = inspect.getattr_static(kind, name)
        return member.__get__(self, kind) if hasattr(member, "__get__") else member


def swap(iterator: Any, loader: Any, index_sampler: Any, settings: Settings, first: Sequence[Any] = ()) -> None:
    """Rebuild ``iterator`` under ``settings`` at a batch boundary.

    Args:
        iterator: a live loader iterator whose ``_sampler_iter`` is an :class:`IndexRecorder`.
        loader: the loader it belongs to; gets the same settings, so that the next epoch starts with them.
        index_sampler: the loader's original index sampler.
        settings: the new settings.
        first: indices of batches to load before the loop's own; the caller takes them out.

    Raises:
        Exception: whatever torch raises when workers cannot start (pickling, process limit). The recorder then
            still holds all un-yielded work, and calling ``swap`` again with other settings repairs the iterator.
    """
    recorder: IndexRecorder = iterator._sampler_iter
    yielded, seed = iterator.__dict__.get("_num_yielded", 0), iterator.__dict__.get("_base_seed", 0)
    stop_workers(iterator)
    recorder.rewind(first)
    _rebuild(iterator, loader, index_sampler, settings, recorder, seed)
    iterator._num_yielded = yielded
    set_on_loader(loader, settings, iterator)


def _rebuild(
    iterator: Any, loader: Any, index_sampler: Any, settings: Settings, recorder: IndexRecorder, seed: int
) -> None:
    import torch

    # The base seed is drawn from the loader's generator; a private one leaves the user's random stream alone.
    generator = torch.Generator()
    generator.manual_seed(seed & (2**63 - 1))
    overrides: dict[str, Any] = {
        "num_workers": settings.num_workers,
        "prefetch_factor": settings.prefetch_factor,
        "pin_memory": settings.pin_memory,
        "persistent_workers": settings.persistent_workers,
        "in_order": settings.in_order,
        "_index_sampler": SameSampler(recorder, index_sampler),
        "generator": generator,
        "check_worker_number_rationality": lambda: None,
        "_IterableDataset_len_called": None,
    }
    if settings.num_workers == 0:
        overrides.update(timeout=0, multiprocessing_context=None)
    kind: Any = _iterator_class(type(iterator), settings.num_workers > 0)
    iterator.__dict__.clear()
    iterator.__dict__["_sampler_iter"] = recorder
    iterator.__class__ = kind
    takes_state = "next_iter_state" in kind.__init__.__code__.co_varnames
    kind.__init__(iterator, LoaderView(loader, overrides), *((None,) if takes_state else ()))
    iterator._index_sampler = index_sampler


def _iterator_class(current: type, multi: bool) -> type:
    """Return the single- or multi-process twin of an iterator class, in the module that defines it."""
    module, name = sys.modules[current.__module__], current.__name__
    twin = (
        name.replace("SingleProcess", "MultiProcessing") if multi else name.replace("MultiProcessing", "SingleProcess")
    )
    found = getattr(module, twin)
    assert isinstance(found, type)
    return found


def set_on_loader(loader: Any, settings: Settings, iterator: Any = None) -> None:
    """Write settings into a constructed loader past its guard, so that its next iterator uses them."""
    values: dict[str, Any] = {
        "num_workers": settings.num_workers,
        "prefetch_factor": settings.prefetch_factor,
        "pin_memory": settings.pin_memory,
        "persistent_workers": settings.persistent_workers,
        "in_order": settings.in_order,
    }
    attributes = loader.__dict__
    for name, value in values.items():
        if name in attributes:
            attributes[name] = value
    if settings.num_workers == 0:
        if attributes.get("_DataLoader__multiprocessing_context") is not None:
            attributes["_gputune_context"] = attributes["_DataLoader__multiprocessing_context"]
            attributes["_DataLoader__multiprocessing_context"] = None
    elif "_gputune_context" in attributes:
        attributes["_DataLoader__multiprocessing_context"] = attributes.pop("_gputune_context")
    if "_iterator" in attributes and not hasattr(loader, "next_iter_state"):
        attributes["_iterator"] = iterator if settings.persistent_workers else None


def stop_workers(iterator: Any) -> None:
    """End the iterator's workers quickly: ask, wait a moment, kill. Their unfinished work is repeated by the caller."""
    state = iterator.__dict__
    workers = state.get("_workers", [])
    if not workers or state.get("_shutdown", True):
        return
    pin_thread = state.get("_pin_memory_thread")
    iterator._workers_done_event.set()
    for queue in iterator._index_queues:
        queue.put(None)
    killed = _end(workers, PIN_GRACE_S if pin_thread is not None else GRACE_S)
    if killed and pin_thread is not None:
        _abandon(iterator)
    else:
        iterator._shutdown_workers()


def kill_workers(iterator: Any) -> None:
    """Kill the workers of a failed trial at once (one of them may be dead or hang)."""
    state = iterator.__dict__
    workers = state.get("_workers", [])
    for worker in workers:
        if worker.is_alive() and worker.pid:
            os.kill(worker.pid, signal.SIGKILL)
    for worker in workers:
        worker.join(timeout=5.0)
    if workers and not state.get("_shutdown", True):
        _abandon(iterator)


def _end(workers: list[Any], grace_s: float) -> bool:
    """Join workers until the grace is over, then kill the rest; return whether any had to be killed."""
    deadline = time.monotonic() + grace_s
    for worker in workers:
        worker.join(timeout=max(0.0, deadline - time.monotonic()))
    stubborn = [worker for worker in workers if worker.is_alive()]
    for worker in stubborn:
        os.kill(worker.pid, signal.SIGKILL)
    for worker in stubborn:
        worker.join(timeout=5.0)
    return bool(stubborn)


def _abandon(iterator: Any) -> None:
    """Let go of queues that a killed worker may have left locked, without touching them again."""
    from torch.utils.data import _utils

    iterator._shutdown = True
    if iterator.__dict__.get("_pin_memory_thread") is not None:
        iterator._pin_memory_thread_done_event.set()
    for queue in iterator._index_queues:
        queue.cancel_join_thread()
        queue.close()
    if iterator.__dict__.get("_worker_pids_set"):
        signals: Any = _utils.signal_handling
        signals._remove_worker_pids(id(iterator))
        iterator._worker_pids_set = False
