"""Finds the lines that make the host wait for the accelerator; only for the length of a diagnostic burst.

Two sources, added up by line of the user's code: torch's own warnings name every wait but not how long it took, and
timed tensor methods (``item``, ``cpu``, ``tolist``, a truth test...) say how long the usual suspects took.
"""

from __future__ import annotations

import sys
import time
import warnings
from types import FrameType
from typing import Any

from gputune.probes.agent.accelerator import Accelerator
from gputune.probes.agent.stacks import is_users
from gputune.probes.agent.wrapped import Wrapped
from gputune.probes.burst import SyncPoint

METHODS = ("item", "tolist", "cpu", "to", "nonzero", "__bool__", "__float__", "__int__", "__index__")
MESSAGE = "called a synchronizing"
"""How torch's warnings begin."""
KEPT = 20

_Line = tuple[str, int, str]


class SyncWatch:
    """Watches from construction until :meth:`end`.

    Args:
        tensor: ``torch.Tensor``.
        accelerator: the device.
    """

    def __init__(self, tensor: Any, accelerator: Accelerator) -> None:
        self.missing = ""
        """Why nothing was watched; empty when it was."""
        self._accelerator, self._wrapped, self._inside = accelerator, Wrapped(), False
        self._counts: dict[_Line, int] = {}
        self._warned: dict[_Line, int] = {}
        self._seconds: dict[_Line, float] = {}
        self._calls: dict[_Line, str] = {}
        self._since_s = time.monotonic()
        self._show = warnings.showwarning
        try:
            accelerator.warn_of_syncs(True)
        except Exception as error:  # noqa: BLE001 (a driver's error must not become the user's)
            self.missing = f"host syncs are not looked for: {type(error).__name__}: {error}"
            return
        warnings.filterwarnings("always", message=MESSAGE)
        self._filter, warnings.showwarning = warnings.filters[0], self._shown
        for name in METHODS:
            self._wrapped.wrap(tensor, name, self._timed)
        for owner, name in accelerator.waits():
            self._wrapped.wrap(owner, name, self._waited)

    def _timed(self, original: Any, tensor: Any, *args: Any, **kwargs: Any) -> Any:
        if self._inside or tensor.device.type != self._accelerator.kind:
            return original(tensor, *args, **kwargs)
        return self._charged(original, tensor, *args, **kwargs)

    def _waited(self, original: Any, *args: Any, **kwargs: Any) -> Any:
        if self._inside:
            return original(*args, **kwargs)
        return self._charged(original, *args, **kwargs)

    def _charged(self, original: Any, *args: Any, **kwargs: Any) -> Any:
        """Time a call that may wait, and charge it to the user's line."""
        name = getattr(original, "__name__", "")
        self._inside, start_s = True, time.monotonic()
        try:
            found = original(*args, **kwargs)
        finally:
            self._inside = False
        if name == "to" and getattr(found, "device", None) == args[0].device:
            return found  # another type on the same device: nothing waits
        line = _users_line(sys._getframe(2))
        self._counts[line] = self._counts.get(line, 0) + 1
        self._seconds[line] = self._seconds.get(line, 0.0) + time.monotonic() - start_s
        self._calls[line] = name
        return found

    def _shown(self, message: Any, *where: Any, **more: Any) -> None:
        if not str(message).startswith(MESSAGE):
            self._show(message, *where, **more)
            return
        place = _users_line(sys._getframe(1))
        self._warned[place] = self._warned.get(place, 0) + 1

    def end(self) -> list[SyncPoint]:
        """Stop watching and return the lines that waited, the most expensive first."""
        self._wrapped.restore()
        if self.missing:
            return []
        if warnings.showwarning == self._shown:
            warnings.showwarning = self._show
        if self._filter in warnings.filters:
            warnings.filters.remove(self._filter)  # type: ignore[attr-defined]
        try:
            self._accelerator.warn_of_syncs(False)
        except Exception as error:  # noqa: BLE001 (as above)
            self.missing = f"the framework's warnings of syncs could not be switched off: {error}"
        watched_s = max(1e-9, time.monotonic() - self._since_s)
        lines = self._counts.keys() | self._warned.keys()
        found = [
            SyncPoint(
                file=line[0], line=line[1], function=line[2], call=self._calls.get(line, ""),
                count=max(self._counts.get(line, 0), self._warned.get(line, 0)),
                seconds=self._seconds.get(line, 0.0), share=self._seconds.get(line, 0.0) / watched_s,
            )
            for line in lines
        ]  # fmt: skip
        return sorted(found, key=lambda point: (-point.seconds, -point.count, point.file, point.line))[:KEPT]


def _users_line(frame: FrameType | None) -> _Line:
    """Return the innermost line of the user's own code, or of whoever called where there is none."""
    first = current = frame
    while current is not None and not is_users(current.f_code):
        current = current.f_back
    chosen = current or first
    assert chosen is not None
    return chosen.f_code.co_filename, chosen.f_lineno, chosen.f_code.co_qualname
