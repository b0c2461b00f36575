"""Remembers which indices a loader iterator has handed to its workers, so that none is lost when it is rebuilt."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence, Sized
from typing import Any


class IndexRecorder:
    """An iterator over the index sampler's iterator that remembers what it gave out.

    For map-style data the ordinal of an entry equals torch's task number (``_send_idx``), which is what lets the
    un-yielded work of a multi-process iterator be repeated under other settings.
    """

    __slots__ = ("_balance", "_extra", "again", "count", "pending", "source")

    def __init__(self, source: Iterator[Any]) -> None:
        self.source = source
        self.pending: dict[int, Any] = {}
        """Ordinal -> indices handed out and not yet returned to the user's loop."""
        self.count = 0
        self.again: deque[Any] = deque()
        """Indices to hand out once more, before the source goes on."""
        self._extra = 0
        """So many ordinals from 0 on are fetched for comparison and not handed to the loop."""
        self._balance = 0
        """Multiset hash of all batches drawn from the source, less that of all handed over."""

    def __iter__(self) -> IndexRecorder:
        return self

    def __next__(self) -> Any:
        if self.again:
            indices = self.again.popleft()
        else:
            indices = next(self.source)
            self._balance += _hash(indices)
        self.pending[self.count] = indices
        self.count += 1
        return indices

    def rewind(self, first: Sequence[Any] = ()) -> None:
        """Arrange for all un-yielded work to be handed out again first, and start counting anew.

        Args:
            first: indices to fetch before all else, for comparison only: they are no work of the loop's.
        """
        for _ in range(self._extra - self.count):  # those for comparison that were not even asked for
            self.again.popleft()
        work = (self.pending[ordinal] for ordinal in sorted(self.pending) if ordinal >= self._extra)
        self.again = deque([*first, *work, *self.again])
        self.pending, self.count, self._extra = {}, 0, len(first)

    def every_batch_once(self) -> bool:
        """Whether each batch drawn from the sampler was handed over exactly once or is still to come."""
        work = [indices for ordinal, indices in self.pending.items() if ordinal >= self._extra]
        again = list(self.again)[max(0, self._extra - self.count) :]
        return self._balance == sum(map(_hash, (*work, *again)))

    def yielded(self, tasks: dict[int, Any] | None) -> Any:
        """Return the indices of the batch that has just been returned, given torch's table of open tasks.

        Args:
            tasks: ``_task_info`` of a multi-process iterator, ``None`` for a single-process one.
        """
        open_tasks: Any = tasks if tasks is not None else ()
        done = [ordinal for ordinal in self.pending if ordinal not in open_tasks]
        indices = self.pending[done[0]] if done else None
        for ordinal in done:
            given = self.pending.pop(ordinal)
            if ordinal >= self._extra:
                self._balance -= _hash(given)
        return indices


def _hash(indices: Any) -> int:
    """Return a number for one batch of indices; 0 for what cannot be hashed."""
    try:
        return hash(tuple(indices)) if isinstance(indices, list) else hash(indices)
    except TypeError:
        return 0


class SameSampler:
    """Stands in for the loader's index sampler during a rebuild: its iterator is the recorder already in use."""

    def __init__(self, recorder: IndexRecorder, original: Any) -> None:
        self._recorder, self._original = recorder, original

    def __iter__(self) -> Iterator[Any]:
        return self._recorder

    def __len__(self) -> int:
        return len(self._original) if isinstance(self._original, Sized) else 0


def record_indices(iterator: Any) -> None:
    """Put a recorder in front of what an iterator gets its indices from, where this torch keeps that as we know it."""
    source = iterator.__dict__.get("_sampler_iter")
    if source is not None and not isinstance(source, IndexRecorder):
        iterator._sampler_iter = IndexRecorder(source)


def forget_yielded(iterator: Any) -> Any:
    """Drop the record of the batch just handed out and return its indices (``None`` without a recorder)."""
    recorder = iterator.__dict__.get("_sampler_iter")
    if not isinstance(recorder, IndexRecorder):
        return None
    return recorder.yielded(iterator.__dict__.get("_task_info"))


def every_batch_once(iterator: Any) -> bool | None:
    """Return whether every batch came exactly once, ``None`` where nothing is recorded."""
    recorder = iterator.__dict__.get("_sampler_iter")
    return recorder.every_batch_once() if isinstance(recorder, IndexRecorder) else None
