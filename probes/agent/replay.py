"""A few batches kept in memory and handed out again: data for free, which is what the ceiling is measured with."""

from __future__ import annotations

from collections import deque
from typing import Any

from gputune.probes.agent.batches import size_in_bytes, with_pinning

CACHED_BATCHES = 4
CACHE_BYTES = 512 << 20
"""Batches kept may hold at most this much memory (one is always kept)."""


class ReplayCache:
    """The last few batches of the training loader."""

    def __init__(self) -> None:
        self._batches: deque[Any] = deque(maxlen=CACHED_BATCHES)

    def __bool__(self) -> bool:
        return bool(self._batches)

    @property
    def last(self) -> Any:
        """The batch kept last, ``None`` when there is none."""
        return self._batches[-1] if self._batches else None

    def keep(self, batch: Any) -> None:
        """Keep a batch, if there is room."""
        if not self._batches or size_in_bytes(batch) * CACHED_BATCHES <= CACHE_BYTES:
            self._batches.append(batch)

    def next(self) -> Any:
        """Hand out the next batch, round and round."""
        self._batches.rotate(-1)
        return self._batches[-1]

    def pin(self, pinned: bool) -> None:
        """Bring the batches into page-locked memory, or out of it, as the loader would deliver them."""
        self._batches = deque((with_pinning(batch, pinned) for batch in self._batches), CACHED_BATCHES)

    def clear(self) -> None:
        """Forget all batches."""
        self._batches.clear()
