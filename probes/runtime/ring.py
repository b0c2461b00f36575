"""A bounded buffer between two stages, with the counts that tell which side is the slow one."""

from __future__ import annotations

import collections
import threading
from typing import Generic, TypeVar

T = TypeVar("T")


class RingClosedError(Exception):
    """Nothing will come any more, or nobody takes any more."""


class Ring(Generic[T]):
    """First in, first out, at most ``capacity`` items; closing wakes whoever waits.

    Args:
        capacity: items that may lie in it.
    """

    def __init__(self, capacity: int) -> None:
        if capacity < 1:
            raise ValueError(f"a buffer holds at least 1 item, not {capacity}")
        self.capacity = capacity
        self._items: collections.deque[T] = collections.deque()
        self._lock = threading.Lock()
        self._readable = threading.Condition(self._lock)
        self._writable = threading.Condition(self._lock)
        self._finished = False
        self._broken = False

    def put(self, item: T) -> None:
        """Wait for room and add ``item``.

        Raises:
            RingClosedError: the consumer has gone.
        """
        with self._lock:
            while len(self._items) >= self.capacity and not self._broken:
                self._writable.wait()
            if self._broken:
                raise RingClosedError
            self._items.append(item)
            self._readable.notify()

    def get(self) -> T:
        """Wait for an item and take it.

        Raises:
            RingClosedError: the producers have finished and the buffer is empty, or it was broken.
        """
        with self._lock:
            while not self._items and not self._finished and not self._broken:
                self._readable.wait()
            if self._broken or not self._items:
                raise RingClosedError
            item = self._items.popleft()
            self._writable.notify()
            return item

    def finish(self) -> None:
        """Say that nothing more will be put; what lies inside can still be taken."""
        with self._lock:
            self._finished = True
            self._readable.notify_all()

    def break_off(self) -> None:
        """Drop everything and make both sides stop."""
        with self._lock:
            self._broken = True
            self._items.clear()
            self._readable.notify_all()
            self._writable.notify_all()

    def __len__(self) -> int:
        return len(self._items)
