"""The few things the agent asks of an accelerator; behind one small interface, so that all else runs without one."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, Protocol


class Accelerator(Protocol):
    """What timing copies and finding host syncs take."""

    @property
    def kind(self) -> str:
        """The type of its devices as tensors spell it (``cuda``)."""
        ...

    def mark(self) -> Any:
        """Put a mark into the queue of work, without waiting for it; ``None`` where none can be put just now."""
        ...

    def between_s(self, begin: Any, end: Any) -> float | None:
        """Return the device's time from one mark to another, or ``None`` while it has not come that far."""
        ...

    def warn_of_syncs(self, on: bool) -> None:
        """Have the framework warn (``warnings``) wherever the host waits for the device, or stop it."""
        ...

    def waits(self) -> Sequence[tuple[Any, str]]:
        """Return the (owner, name) of functions that do nothing but wait for the device."""
        ...


class Cuda:
    """CUDA devices through torch. Nothing here waits for the device."""

    kind = "cuda"

    def __init__(self, torch: Any) -> None:
        self._torch = torch
        self._mode_before = 0

    def mark(self) -> Any:
        """Record an event on the current stream; none while a graph is captured, which it would become part of."""
        if self._torch.cuda.is_current_stream_capturing():
            return None
        event = self._torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def between_s(self, begin: Any, end: Any) -> float | None:
        """Return the time between two events, ``None`` while the second is outstanding."""
        return begin.elapsed_time(end) / 1e3 if end.query() else None

    def warn_of_syncs(self, on: bool) -> None:
        """Switch torch's own debugging of syncs on, or back to what it was."""
        if on:
            self._mode_before = self._torch.cuda.get_sync_debug_mode()
        self._torch.cuda.set_sync_debug_mode("warn" if on else self._mode_before)

    def waits(self) -> Sequence[tuple[Any, str]]:
        """Return ``torch.cuda.synchronize``."""
        return [(self._torch.cuda, "synchronize")]


def present() -> Accelerator | None:
    """Return the accelerator in use, ``None`` on a machine without one; wakes none up."""
    torch = sys.modules.get("torch")
    cuda = getattr(torch, "cuda", None)
    return Cuda(torch) if cuda is not None and cuda.is_available() and cuda.is_initialized() else None
