"""Puts timed functions in the place of methods, and takes them away again without a trace."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import Any

_ABSENT = object()


class Wrapped:
    """A set of replaced attributes that :meth:`restore` puts back, inherited ones by uncovering them."""

    def __init__(self) -> None:
        self._replaced: list[tuple[Any, str, Any]] = []

    def wrap(self, owner: Any, name: str, around: Callable[..., Any]) -> None:
        """Call ``around(original, *args, **kwargs)`` instead of ``owner.name``, on the main thread only."""
        original = getattr(owner, name, None)
        if original is None:
            return

        @functools.wraps(original)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            if threading.current_thread() is not threading.main_thread():
                return original(*args, **kwargs)
            return around(original, *args, **kwargs)

        self._replaced.append((owner, name, vars(owner).get(name, _ABSENT)))
        setattr(owner, name, wrapper)

    def restore(self) -> None:
        """Put everything back; safe to call twice."""
        while self._replaced:
            owner, name, before = self._replaced.pop()
            if before is _ABSENT:
                delattr(owner, name)
            else:
                setattr(owner, name, before)
