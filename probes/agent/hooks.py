"""The hooks on torch's loader iterators, the one place where the agent enters the user's call stack.

Four methods of two classes cover plain loops, Lightning, Hugging Face, Accelerate, PyG, timm, Ultralytics and
torchdata's StatefulDataLoader, because all of them iterate through ``_BaseDataLoaderIter``.
"""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable
from types import ModuleType
from typing import Any, Protocol

from gputune.probes.agent.recorder import record_indices
from gputune.probes.agent.sites import Site, Sites
from gputune.probes.agent.swap import LoaderView, Remembered
from gputune.probes.agent.torch_private import ToyDataset

POLL_S = 0.5
"""How often a wait for workers looks whether they are alive and the deadline has passed (torch: 5 s)."""

HUNG = "no batch before the deadline: the workers hang, wait for a lock, or make something that cannot be pickled"


class TrialDeadline(RuntimeError):
    """No batch arrived in time under trial settings."""


class Attached:
    """What is known about one live iterator; kept outside of it because a swap rebuilds its ``__dict__``."""

    def __init__(self, iterator: Any, loader: Any, site: Site) -> None:
        self.site = site
        self.index_sampler = getattr(iterator, "_index_sampler", None)
        self.fresh = True
        """No batch has been handed out in this pass over the loader."""
        self.timed_fetcher: Any = None
        self._loader: Any = loader
        self._weak: weakref.ref[Any] | None = None

    @property
    def loader(self) -> Any:
        """The loader the iterator was made by, or what is remembered of it."""
        alive = self._weak() if self._weak is not None else None
        return self._loader if alive is None else alive

    def avoid_cycle(self, iterator: Any) -> None:
        """Hold the loader weakly if it holds its iterator (persistent workers, endless loaders).

        In ``for batch in DataLoader(...)`` nobody else holds the loader, so by default we do. But a cycle iterator
        -> loader -> iterator could be collected inside a forked worker, where the iterator's ``__del__`` fails.
        """
        if self._weak is None and any(value is iterator for value in vars(self._loader).values()):
            self._loader, self._weak = Remembered(self._loader, iterator), weakref.ref(self._loader)


class Listener(Protocol):
    """Who wants to know about batches."""

    @property
    def deadline_s(self) -> float | None:
        """Monotonic time after which a wait for workers is given up; ``None``: never."""
        ...

    def next_batch(self, iterator: Any, attached: Attached, original: Callable[[Any], Any]) -> Any:
        """Return the next batch for the user's loop, or raise what the user is to see."""
        ...


class LoaderHooks:
    """Installs the hooks and keeps the table of live iterators.

    Args:
        dataloader: the module ``torch.utils.data.dataloader``.
        sites: registry of construction sites.
        listener: gets every batch request.
    """

    def __init__(self, dataloader: ModuleType, sites: Sites, listener: Listener) -> None:
        self._dataloader, self._sites, self._listener = dataloader, sites, listener
        self._attached: dict[int, tuple[weakref.ref[Any], Attached]] = {}

    def install(self) -> None:
        """Put the hooks in place for the rest of the process."""
        base = self._dataloader._BaseDataLoaderIter
        multi = getattr(self._dataloader, "_MultiProcessingDataLoaderIter", None)
        watch_construction(self._dataloader.DataLoader, self._sites.constructed)
        self._hook_creation(base)
        self._hook_next(base)
        if hasattr(multi, "_try_get_data"):
            self._hook_waiting(multi)
        # Torch's handler raises in the middle of whatever the user's code is doing when a worker dies; a trial's
        # dead worker must only be seen inside next(), where it can be undone.
        self._dataloader._utils.signal_handling._set_SIGCHLD_handler = lambda: None

    def watch_construction(self, loader_class: Any) -> None:
        """Also learn where loaders of a class are constructed that does not call DataLoader's constructor."""
        watch_construction(loader_class, self._sites.constructed)

    def of(self, iterator: Any) -> Attached | None:
        """Return what is known about a live iterator."""
        entry = self._attached.get(id(iterator))
        return entry[1] if entry is not None and entry[0]() is iterator else None

    def _hook_creation(self, base: Any) -> None:
        original, hooks = base.__init__, self

        def __init__(self: Any, loader: Any, *args: Any, **kwargs: Any) -> None:
            original(self, loader, *args, **kwargs)
            record_indices(self)
            if not isinstance(loader, LoaderView) and not isinstance(loader.dataset, ToyDataset):
                hooks._attach(self, loader)

        disguise(__init__, original)
        base.__init__ = __init__
        if hasattr(base, "_reset"):
            self._hook_reset(base)

    def _hook_reset(self, base: Any) -> None:
        original, hooks = base._reset, self

        def _reset(self: Any, loader: Any, first_iter: bool = False) -> None:
            original(self, loader, first_iter)
            record_indices(self)
            attached = hooks.of(self)
            if attached is not None and not first_iter:
                attached.fresh = True

        base._reset = _reset

    def _attach(self, iterator: Any, loader: Any) -> None:
        key = id(iterator)
        reference = weakref.ref(iterator, lambda _: self._attached.pop(key, None))
        self._attached[key] = (reference, Attached(iterator, loader, self._sites.of(loader)))

    def _hook_next(self, base: Any) -> None:
        original, hooks, listener = base.__next__, self, self._listener

        def __next__(self: Any) -> Any:
            attached = hooks.of(self)
            if attached is None:
                return original(self)
            return listener.next_batch(self, attached, original)

        base.__next__ = __next__

    def _hook_waiting(self, multi: Any) -> None:
        original, listener = multi._try_get_data, self._listener

        def _try_get_data(self: Any, timeout: float = POLL_S) -> Any:
            if listener.deadline_s is not None and time.monotonic() > listener.deadline_s:
                raise TrialDeadline(HUNG)
            return original(self, timeout)

        multi._try_get_data = _try_get_data


def watch_construction(loader_class: Any, constructed: Callable[[Any], object]) -> None:
    """Call ``constructed`` with every loader of a class, after its constructor has run."""
    original = loader_class.__init__

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        if not isinstance(self.dataset, ToyDataset):
            constructed(self)

    disguise(__init__, original)
    loader_class.__init__ = __init__


def disguise(replacement: Any, original: Any) -> None:
    """Let signatures and documentation of a replaced constructor stay what they were (libraries inspect them)."""
    replacement.__wrapped__ = original
    replacement.__doc__ = original.__doc__
    replacement.__qualname__ = original.__qualname__
    replacement.__module__ = original.__module__


def ready_batches(iterator: Any) -> int:
    """Return how many batches lie ready in the main process, or -1 where that cannot be told."""
    tasks = iterator.__dict__.get("_task_info")
    if tasks is None:
        return -1
    try:
        waiting = iterator._data_queue.qsize()
    except (NotImplementedError, OSError, AttributeError):
        return -1
    return int(waiting) + sum(len(info) == 2 for info in tasks.values())
