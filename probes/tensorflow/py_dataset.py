"""A Keras ``PyDataset`` (once ``Sequence``), whose workers can be changed between two batches."""

from __future__ import annotations

import queue
import sys
import time
from types import ModuleType
from typing import Any

from gputune.probes.tensorflow.settings import PipelineSettings, PipelineStage

_ATTRIBUTE = "_gputune_adapter"
STOP_S = 5.0
"""How long the workers of the settings before may take to end."""


def adapter_of(dataset: Any) -> Any:
    """Return Keras's adapter of the ``PyDataset`` behind a dataset, ``None`` for any other dataset."""
    return getattr(dataset, _ATTRIBUTE, None)


def install(module: ModuleType, settings: PipelineSettings | None = None) -> None:
    """Let every dataset made of a ``PyDataset`` know its adapter.

    Args:
        module: Keras's module of the adapter.
        settings: give every adapter these workers as it is constructed (``gputune run``).
    """
    kind: Any = module.__dict__["PyDatasetAdapter"]
    original, construct = kind.get_tf_dataset, kind.__init__

    def get_tf_dataset(self: Any) -> Any:
        dataset = original(self)
        setattr(dataset, _ATTRIBUTE, self)
        return dataset

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        construct(self, *args, **kwargs)
        if settings is not None and settings.workers is not None:
            set_workers(self, settings)

    get_tf_dataset.__doc__, __init__.__doc__ = original.__doc__, construct.__doc__
    kind.get_tf_dataset, kind.__init__ = get_tf_dataset, __init__


class PyDatasetPipeline:
    """The workers of one adapter.

    Args:
        adapter: Keras's adapter.
        dataset: the dataset it made.
    """

    def __init__(self, adapter: Any, dataset: Any) -> None:
        self.dataset, self._adapter = dataset, adapter
        self.own = own_settings(adapter)

    @property
    def stages(self) -> list[PipelineStage]:
        """Return the one stage there is."""
        name = f"{type(self._adapter.py_dataset).__qualname__}.__getitem__"
        return [PipelineStage(operation="PyDataset", function=name, parallelism=self.own.workers, python=True)]

    def build(self, settings: PipelineSettings) -> Any:
        """Change the workers and return the dataset that reads from them."""
        stop_workers(self._adapter)
        set_workers(self._adapter, settings)
        return self._adapter.get_tf_dataset()

    def pass_ended(self) -> None:
        """Let go of batches that nobody will ask for, which Keras would wait for at the end of the epoch."""
        stop_workers(self._adapter)


def own_settings(adapter: Any) -> PipelineSettings:
    """Return what the script gave its ``PyDataset``; without processes, 0 and 1 workers are the same."""
    data = adapter.py_dataset
    return PipelineSettings(
        workers=max(1, int(data.workers)),
        use_multiprocessing=bool(data.use_multiprocessing) and data.workers > 0,
        max_queue_size=int(data.max_queue_size),
    )


def set_workers(adapter: Any, settings: PipelineSettings) -> None:
    """Give an adapter the queue and workers that Keras would have given it for these settings."""
    module = sys.modules[type(adapter).__module__]
    workers, processes = settings.workers or 1, bool(settings.use_multiprocessing)
    adapter.enqueuer = None
    if workers > 1 or processes:
        adapter.enqueuer = module.OrderedEnqueuer(
            adapter.py_dataset,
            workers=workers,
            use_multiprocessing=processes,
            max_queue_size=settings.max_queue_size or int(adapter.py_dataset.max_queue_size),
            shuffle=adapter.shuffle,
        )


def stop_workers(adapter: Any) -> None:
    """End the workers without waiting for the batches they were asked for."""
    enqueuer = adapter.enqueuer
    thread = getattr(enqueuer, "run_thread", None)
    if enqueuer is None or thread is None:
        return
    enqueuer.stop(drain_queue_and_join=False)
    deadline_s = time.monotonic() + STOP_S
    # The thread that hands out work may be waiting for room in the queue.
    while thread.is_alive() and time.monotonic() < deadline_s:
        try:
            enqueuer.future_queue.get(timeout=0.01)
        except queue.Empty:
            continue
    for waiting in (enqueuer.future_queue, enqueuer.ready_queue):
        with waiting.mutex:
            waiting.queue.clear()
