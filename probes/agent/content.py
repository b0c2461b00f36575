"""A small picture of what a batch holds, good enough to tell whether two batches hold the same samples."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

ELEMENTS = 512
"""Looked at in each tensor, evenly spread over it."""
LEAVES = 64
"""Looked at in each batch."""
TOLERANCE = 1e-3
"""Relative to the tensor's largest value: sums differ in their last bits with the number of threads that add."""
_MAX_DEPTH = 6
Leaf = tuple[str, Any]
Content = tuple[Leaf, ...]


def content(batch: Any) -> Content:
    """Return the picture of a batch: shapes, types and a few values of what is in it. Takes some microseconds."""
    found = []
    for leaf in _leaves(batch, 0):
        found.append(leaf)
        if len(found) >= LEAVES:
            break
    return tuple(found)


def same(one: Content, other: Content) -> bool:
    """Whether two pictures show the same samples."""
    return len(one) == len(other) and all(map(_same_leaf, one, other))


def rows(batch: Any) -> list[int]:
    """Return one number a sample, equal for equal samples; empty where a batch has no tensor of samples."""
    for part in _tensors(batch, 0):
        shape = tuple(getattr(part, "shape", ()))
        if not shape or not _readable(part):
            continue
        flat = part.reshape(shape[0], -1)
        stride = max(1, flat.shape[1] // 16)
        return [hash(tuple(row)) for row in flat[:, ::stride].tolist()]
    return []


def _leaves(thing: Any, depth: int) -> Iterator[Leaf]:
    if hasattr(thing, "shape") and hasattr(thing, "dtype"):
        yield _picture(thing)
    elif isinstance(thing, (str, bytes, int, float, bool, type(None))):
        yield type(thing).__name__, thing
    elif depth < _MAX_DEPTH:
        for part in _parts(thing):
            yield from _leaves(part, depth + 1)


def _tensors(thing: Any, depth: int) -> Iterator[Any]:
    if hasattr(thing, "shape") and hasattr(thing, "dtype"):
        yield thing
    elif depth < _MAX_DEPTH:
        for part in _parts(thing):
            yield from _tensors(part, depth + 1)


def _parts(thing: Any) -> Iterator[Any]:
    if isinstance(thing, Mapping):
        yield from thing.values()
    elif isinstance(thing, (list, tuple)):
        yield from thing
    else:
        yield from getattr(thing, "__dict__", {}).values()


def _readable(part: Any) -> bool:
    return getattr(getattr(part, "device", None), "type", "cpu") == "cpu" and not getattr(part, "is_sparse", False)


def _picture(part: Any) -> Leaf:
    name = f"{part.dtype} {tuple(part.shape)}"
    if not _readable(part):
        return name, None
    flat = part.reshape(-1)
    return name, tuple(flat[:: max(1, len(flat) // ELEMENTS)].tolist())


def _same_leaf(one: Leaf, other: Leaf) -> bool:
    (kind, values), (other_kind, others) = one, other
    if kind != other_kind or not isinstance(values, tuple) or "float" not in kind:
        return kind == other_kind and values == others
    largest = max((abs(value) for value in values if math.isfinite(value)), default=0.0)
    return all(
        math.isclose(mine, theirs, rel_tol=TOLERANCE, abs_tol=TOLERANCE * largest)
        or (math.isnan(mine) and math.isnan(theirs))
        for mine, theirs in zip(values, others, strict=True)
    )
