"""Times how long tensors take from host memory to the accelerator: the ledger's line of copies.

A mark of the device's before and one after each copy; both are read when the device has come past them, never by
waiting for it. On a machine without an accelerator nothing is installed.
"""

from __future__ import annotations

import time
from collections import deque
from typing import Any, NamedTuple

from gputune.probes.agent.accelerator import Accelerator
from gputune.probes.agent.interludes import Span
from gputune.probes.agent.wrapped import Wrapped
from gputune.probes.burst import StallKind

MOVES = ("to", "cuda")
MOST_PENDING = 4096
"""Copies whose time is not known yet; a device further behind than this loses the oldest."""


class _Copy(NamedTuple):
    start_s: float
    begin: Any
    end: Any


class CopyTimer:
    """Watches the tensor methods that move data to the accelerator.

    Args:
        tensor: ``torch.Tensor``.
        accelerator: the device; ``None`` leaves everything untouched.
    """

    def __init__(self, tensor: Any, accelerator: Accelerator | None) -> None:
        self.missing = ""
        """Why copies are not timed (any more); empty while they are, or where there is no accelerator."""
        self._accelerator, self._wrapped = accelerator, Wrapped()
        self._pending: deque[_Copy] = deque(maxlen=MOST_PENDING)
        if accelerator is not None:
            for name in MOVES:
                self._wrapped.wrap(tensor, name, self._moved)

    def _moved(self, original: Any, tensor: Any, *args: Any, **kwargs: Any) -> Any:
        accelerator = self._accelerator
        if accelerator is None or tensor.device.type != "cpu":
            return original(tensor, *args, **kwargs)
        begin = self._mark(accelerator)
        start_s = time.monotonic()
        moved = original(tensor, *args, **kwargs)
        if begin is not None and moved.device.type == accelerator.kind:
            end = self._mark(accelerator)
            if end is not None:
                self._pending.append(_Copy(start_s, begin, end))
        return moved

    def _mark(self, accelerator: Accelerator) -> Any:
        try:
            return accelerator.mark()
        except Exception as error:  # noqa: BLE001 (a driver's error must not become the user's)
            self._give_up(error)
            return None

    def take(self) -> list[Span]:
        """Return the copies the device has finished since the last call."""
        spans: list[Span] = []
        while self._pending and self._accelerator is not None:
            copy = self._pending[0]
            try:
                duration_s = self._accelerator.between_s(copy.begin, copy.end)
            except Exception as error:  # noqa: BLE001 (as above)
                self._give_up(error)
                break
            if duration_s is None:
                break
            self._pending.popleft()
            spans.append(Span(StallKind.COPY, copy.start_s, duration_s))
        return spans

    def _give_up(self, error: Exception) -> None:
        self.missing = f"copies to the device are not timed: {type(error).__name__}: {error}"
        self.remove()

    def remove(self) -> None:
        """Put the tensor methods back."""
        self._accelerator = None
        self._pending.clear()
        self._wrapped.restore()
