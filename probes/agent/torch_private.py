"""The private names of torch that we lean on, in one place, and the test that they still work.

Two methods are enough to measure; hot-swapping leans on all names. Where one of those is missing or the test fails,
the campaign starts a fresh process for each trial instead, and says so.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

NAMES: dict[str, tuple[str, ...]] = {
    "_BaseDataLoaderIter": ("__init__", "__next__", "_reset", "_next_index"),
    "_SingleProcessDataLoaderIter": ("_next_data",),
    "_MultiProcessingDataLoaderIter": ("_try_get_data", "_shutdown_workers", "_reset"),
    "_DatasetKind": ("create_fetcher",),
}
MEASURING = ("__init__", "__next__")
"""Methods of ``_BaseDataLoaderIter`` without which no batch can be timed."""
INSTANCE_NAMES = ("_sampler_iter", "_index_sampler", "_num_yielded", "_base_seed")
WORKER_NAMES = ("_worker_loop",)


def missing_names(dataloader: ModuleType) -> list[str]:
    """Return the private names this torch does not have."""
    absent = [
        f"{owner}.{name}" if hasattr(dataloader, owner) else owner
        for owner, names in NAMES.items()
        for name in names
        if not hasattr(getattr(dataloader, owner, None), name)
    ]
    worker, signals = dataloader._utils.worker, dataloader._utils.signal_handling
    absent += [f"_utils.worker.{name}" for name in WORKER_NAMES if not hasattr(worker, name)]
    if not hasattr(signals, "_set_SIGCHLD_handler"):
        absent.append("_utils.signal_handling._set_SIGCHLD_handler")
    return absent


def can_measure(dataloader: ModuleType) -> bool:
    """Whether batches can be timed at all."""
    base = getattr(dataloader, "_BaseDataLoaderIter", None)
    return base is not None and all(hasattr(base, name) for name in MEASURING)


def lacking(dataloader: ModuleType) -> str:
    """Return what this torch lacks for hot-swapping, in words; an empty string when nothing."""
    absent = missing_names(dataloader)
    return f"this torch lacks {', '.join(absent)}" if absent else ""


class ToyDataset:
    """Twelve integers, for the self-test."""

    def __len__(self) -> int:
        return 12

    def __getitem__(self, index: int) -> int:
        return index


def identity(batch: Any) -> Any:
    """Collate nothing."""
    return batch


def self_test(dataloader: ModuleType) -> str:
    """Swap a toy loader 0 -> 2 -> 0 workers and return what went wrong, or an empty string.

    Every sample must come out once, in order. Takes about 0.1 s with the fork start method.
    """
    from gputune.probes.agent.recorder import IndexRecorder
    from gputune.probes.agent.swap import swap
    from gputune.probes.settings import Settings

    loader = dataloader.DataLoader(
        ToyDataset(), batch_size=2, collate_fn=identity, generator=_generator(), multiprocessing_context=None
    )
    seen: list[int] = []
    try:
        iterator = iter(loader)
        sampler = iterator._index_sampler
        if not isinstance(iterator._sampler_iter, IndexRecorder):
            iterator._sampler_iter = IndexRecorder(iterator._sampler_iter)
        for workers in (0, 2, 0):
            if workers != iterator._num_workers:
                swap(iterator, loader, sampler, Settings.make(num_workers=workers))
            for _ in range(2):
                seen += next(iterator)
                iterator._sampler_iter.yielded(iterator.__dict__.get("_task_info"))
    except Exception as error:  # noqa: BLE001  whatever this torch raises is the answer we want
        return f"{type(error).__name__}: {error}"
    return "" if seen == list(range(12)) else f"the toy loader gave {seen}"


def _generator() -> Any:
    import torch

    generator = torch.Generator()
    generator.manual_seed(0)
    return generator
