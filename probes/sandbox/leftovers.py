"""Shared memory that killed processes could not unlink themselves."""

from __future__ import annotations

import os
import re

_FOLDER = "/dev/shm"
_TORCH_SEGMENT = re.compile(r"torch_(\d+)_")


def remove_shared_memory(pids: set[int]) -> list[str]:
    """Unlink the segments whose names say that one of these (ended) processes made them; return their names.

    Only torch writes its process id into the name. What others made is removed by Python's resource tracker,
    which is given the time to do so.
    """
    removed = []
    try:
        names = os.listdir(_FOLDER)
    except OSError:
        return []
    for name in names:
        match = _TORCH_SEGMENT.match(name)
        path = os.path.join(_FOLDER, name)
        if match and int(match[1]) in pids and not os.path.exists(f"/proc/{match[1]}"):
            try:
                os.unlink(path)
            except OSError:
                continue  # unlinked by its owner meanwhile, or another user's
            removed.append(name)
    return removed
