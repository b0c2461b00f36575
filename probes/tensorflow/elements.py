"""The size of an element of a pipeline, in samples and in bytes."""

from __future__ import annotations

from typing import Any

from gputune.probes.agent.batches import tensors


def samples_in(element: Any, batch_size: int | None) -> int:
    """Return how many samples an element holds: the first tensor's leading dimension, if the pipeline batches."""
    first = next(tensors(element), None)
    shape: Any = getattr(first, "shape", ())
    try:
        return int(shape[0]) if len(shape) and shape[0] is not None else batch_size or 1
    except (TypeError, ValueError):  # a ragged tensor of unknown rank
        return batch_size or 1


def bytes_in(element: Any) -> int:
    """Return the bytes of all dense tensors in an element; strings count their references only."""
    return sum(_bytes(part) for part in tensors(element))


def _bytes(part: Any) -> int:
    width = int(getattr(part.dtype, "size", 0) or getattr(part.dtype, "itemsize", 0))
    count = 1
    for extent in part.shape:
        count *= int(extent or 0)
    return count * width
