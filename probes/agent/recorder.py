"""Remembers which indices a loader iterator has handed to its workers, so that none is lost when it is rebuilt."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sized
from typing import Any


class IndexRecorder:
    """An iterator over the index sampler's iterator that remembers what it gave out.

    For map-style data the ordinal of an entry equals torch's task number (``_send_idx``), which is what lets the
    un-yielded work of a multi-process iterator be repeated under other settings.
    """

    __slots__ = ("again", "count", "pending", "source")

    def __init__(self, source: Iterator[Any]) -> None:
        self.source = source
        self.pending: dict[int, Any] = {}
        """Ordinal -> indices handed out and not yet returned to the user's loop."""
        self.count = 0
        self.again: deque[Any] = deque()
        """Indices to hand out once more, before the source goes on."""

    def __iter__(self) -> IndexRecorder:
        return self

    def __next__(self) -> Any:
        indices = self.again.popleft() if self.again else next(self.source)
        self.pending[self.count] = indices
        self.count += 1
        return indices

    def rewind(self) -> None:
        """Arrange for all un-yielded work to be handed out again first, and start counting anew."""
        self.again = deque([*(self.pending[ordinal] for ordinal in sorted(self.pending)), *self.again])
        self.pending, self.count = {}, 0

    def yielded(self, tasks: dict[int, Any] | None) -> Any:
        """Return the indices of the batch that has just been returned, given torch's table of open tasks.

        Args:
            tasks: ``_task_info`` of a multi-process iterator, ``None`` for a single-process one.
        """
        open_tasks: Any = tasks if tasks is not None else ()
        done = [ordinal for ordinal in self.pending if ordinal not in open_tasks]
        indices = self.pending[done[0]] if done else None
        for ordinal in done:
            del self.pending[ordinal]
        return indices


class SameSampler:
    """Stands in for the loader's index sampler during a rebuild: its iterator is the recorder already in use."""

    def __init__(self, recorder: IndexRecorder, original: Any) -> None:
        self._recorder, self._original = recorder, original

    def __iter__(self) -> Iterator[Any]:
        return self._recorder

    def __len__(self) -> int:
        return len(self._original) if isinstance(self._original, Sized) else 0


def forget_yielded(iterator: Any) -> Any:
    """Drop the record of the batch just handed out and return its indices."""
    return iterator._sampler_iter.yielded(iterator.__dict__.get("_task_info"))
