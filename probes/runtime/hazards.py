"""``HazardGuard``: what must never happen off the training thread, found as it happens, by file and line."""

from __future__ import annotations

import functools
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType
from typing import Any, Literal

import torch

HazardKind = Literal["optimizer step", "backward", "structural change", "device move", "collective"]


@dataclass(frozen=True)
class Hazard:
    """One kind of hazard at one place in the user's code."""

    kind: HazardKind
    call: str
    file: str
    line: int
    thread: str
    """Name of the thread it happened in."""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.kind} ({self.call}) in thread {self.thread!r}"


class HazardError(RuntimeError):
    """Raised at the hazardous call itself when the guard is strict."""


_STRUCTURE = ("add_module", "register_parameter", "register_buffer", "register_module")
_MOVES = ("to", "cuda", "cpu", "half", "float", "double", "_apply")
_COLLECTIVES = ("all_reduce", "all_gather", "broadcast", "reduce_scatter", "barrier", "all_to_all")


class HazardGuard:
    """Watches while it is entered; the thread that makes it counts as the training thread.

    Backward passes that autograd itself runs on its device threads are the training thread's own and are not
    reported; neither is the construction of a model, only changes of one that has been called.

    Args:
        strict: raise :class:`HazardError` in the offending thread instead of only noting it.
        on_hazard: called in the offending thread, once for each kind and place.
    """

    def __init__(self, *, strict: bool = False, on_hazard: Callable[[Hazard], None] | None = None) -> None:
        self._training_thread = threading.get_ident()
        self._strict, self._on_hazard = strict, on_hazard
        self._lock = threading.Lock()
        self._found: dict[tuple[str, str, int], Hazard] = {}
        self._undo: list[Callable[[], None]] = []
        self._nested = threading.local()

    @property
    def hazards(self) -> list[Hazard]:
        """Every hazard seen, in the order of first sight."""
        with self._lock:
            return list(self._found.values())

    def __enter__(self) -> HazardGuard:
        self._guard_optimizers()
        self._guard(torch.Tensor, "backward", "backward")
        self._guard(torch.autograd, "backward", "backward")
        for name in (*_STRUCTURE, *_MOVES):
            kind: HazardKind = "structural change" if name in _STRUCTURE else "device move"
            self._guard(torch.nn.Module, name, kind, only_if=_is_in_use)
        self._guard(torch.nn.Module, "__setattr__", "structural change", only_if=_replaces_a_part)
        distributed = sys.modules.get("torch.distributed")
        for name in _COLLECTIVES if distributed is not None else ():
            if hasattr(distributed, name):
                self._guard(distributed, name, "collective")
        self._note_calls()
        return self

    def __exit__(self, *_exception: object) -> None:
        while self._undo:
            self._undo.pop()()

    def _guard_optimizers(self) -> None:
        """Every optimiser class has a ``step`` of its own; the hook they share sees all of them."""
        from torch.optim.optimizer import register_optimizer_step_pre_hook

        def before_step(optimizer: Any, _args: Any, _kwargs: Any) -> None:
            self._check("optimizer step", f"{type(optimizer).__name__}.step")

        handle = register_optimizer_step_pre_hook(before_step)
        self._undo.append(handle.remove)

    def _note_calls(self) -> None:
        """Mark modules that have been called: only their structure matters to a running step."""
        handle = torch.nn.modules.module.register_module_forward_pre_hook(_mark_used)
        self._undo.append(handle.remove)

    def _guard(self, owner: Any, name: str, kind: HazardKind, only_if: Callable[..., bool] | None = None) -> None:
        real = getattr(owner, name, None)
        if real is None:
            return

        @functools.wraps(real)
        def guarded(*args: Any, **kwargs: Any) -> Any:
            if threading.get_ident() == self._training_thread or getattr(self._nested, "inside", False):
                return real(*args, **kwargs)
            if only_if is None or only_if(*args, **kwargs):
                self._check(kind, name)
            self._nested.inside = True  # Tensor.backward calls autograd.backward: one hazard, not two
            try:
                return real(*args, **kwargs)
            finally:
                self._nested.inside = False

        setattr(owner, name, guarded)
        self._undo.append(lambda: setattr(owner, name, real))

    def _check(self, kind: HazardKind, call: str) -> None:
        if threading.get_ident() == self._training_thread:
            return
        file, line = _user_place(sys._getframe(1))
        hazard = Hazard(kind, call, file, line, threading.current_thread().name)
        with self._lock:
            new = (kind, file, line) not in self._found
            self._found.setdefault((kind, file, line), hazard)
        if new and self._on_hazard is not None:
            self._on_hazard(hazard)
        if self._strict:
            raise HazardError(str(hazard))


_USED = "_gputune_was_called"


def _mark_used(module: torch.nn.Module, _inputs: Any) -> None:
    module.__dict__[_USED] = True


def _is_in_use(module: torch.nn.Module, *_args: Any, **_kwargs: Any) -> bool:
    return _USED in module.__dict__


def _replaces_a_part(module: torch.nn.Module, name: str, value: Any) -> bool:
    return _is_in_use(module) and isinstance(value, torch.nn.Module | torch.nn.Parameter)


def _user_place(frame: FrameType | None) -> tuple[str, int]:
    """Return file and line of the innermost frame that is not ours, torch's or Python's threading."""
    ours = (__file__, torch.__path__[0], threading.__file__, functools.__file__)
    while frame is not None and frame.f_back is not None and frame.f_code.co_filename.startswith(ours):
        frame = frame.f_back
    return ("<unknown>", 0) if frame is None else (frame.f_code.co_filename, frame.f_lineno)
