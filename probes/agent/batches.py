"""What can be told about a batch without knowing its type: its size in samples and in bytes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

_MAX_DEPTH = 6


def tensors(batch: Any, depth: int = 0) -> Iterator[Any]:
    """Yield the tensors and arrays inside nested tuples, lists, mappings and objects."""
    if hasattr(batch, "shape") and hasattr(batch, "dtype"):
        yield batch
    elif depth < _MAX_DEPTH:
        if isinstance(batch, Mapping):
            inner: Any = batch.values()
        elif isinstance(batch, (list, tuple)):
            inner = batch
        else:
            inner = getattr(batch, "__dict__", {}).values()
        for part in inner:
            yield from tensors(part, depth + 1)


def with_pinning(batch: Any, pinned: bool) -> Any:
    """Return a batch whose CPU tensors are in page-locked memory, or are not."""
    from torch import Tensor
    from torch.utils._pytree import tree_map

    def move(part: Any) -> Any:
        if not isinstance(part, Tensor) or part.device.type != "cpu" or part.is_pinned() == pinned:
            return part
        return part.pin_memory() if pinned else part.clone()

    return tree_map(move, batch)


def size_in_samples(batch: Any, indices: Any, batch_size: int | None) -> int:
    """Return how many samples a batch holds: what the sampler asked for, else the first tensor's leading dimension."""
    if isinstance(indices, (list, tuple)):
        return len(indices)
    if batch_size:
        return batch_size
    first = next(tensors(batch), None)
    shape: Any = getattr(first, "shape", ())
    return int(shape[0]) if shape else 1


def size_in_bytes(batch: Any) -> int:
    """Return the bytes of all tensors and arrays in a batch (0 when it holds none)."""
    return sum(int(getattr(part, "nbytes", 0)) for part in tensors(batch))
