"""Hold Ctrl-C and a polite kill back for the moment in which what was measured is written down."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator

_HELD = (signal.SIGINT, signal.SIGTERM)


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Let a signal that arrives inside the block take effect right after it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _HELD)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
