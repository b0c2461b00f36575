"""Shared memory that killed processes could not unlink themselves."""

from __future__ import annotations

import os

_FOLDER = "/dev/shm"


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
        pid = name.removeprefix("torch_").partition("_")[0]
        path = os.path.join(_FOLDER, name)
        ours = name.startswith("torch_") and pid.isdigit() and int(pid) in pids
        if ours and not os.path.exists(f"/proc/{pid}"):
            try:
                os.unlink(path)
            except OSError:
                continue  # unlinked by its owner meanwhile, or another user's
            removed.append(name)
    return removed
