"""Times ``torch.save`` on the main thread."""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable
from typing import Any

from gputune.probes.burst import StallKind

Report = Callable[[StallKind, float, float], None]


def install(report: Report) -> None:
    """Wrap ``torch.save`` so that each call on the main thread is reported with its start and duration."""
    import torch

    original = torch.save

    @functools.wraps(original)
    def save(*args: Any, **kwargs: Any) -> Any:
        if threading.current_thread() is not threading.main_thread():
            return original(*args, **kwargs)
        start = time.monotonic()
        try:
            return original(*args, **kwargs)
        finally:
            report(StallKind.CHECKPOINT, start, time.monotonic() - start)

    torch.save = save
