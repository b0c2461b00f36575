"""How much memory may still be taken: the machine's and the container's limits, whichever is tighter."""

from __future__ import annotations

import contextlib
from pathlib import Path

_UNKNOWN_BYTES = 4 << 30
"""Assumed free where the system does not say (not Linux)."""


def available_bytes(root: Path = Path("/")) -> int:
    """Return the bytes that can be allocated without swapping or being killed.

    ``root`` is where ``proc`` and ``sys`` are mounted; only tests give another one.
    """
    limits = [_meminfo_bytes(root / "proc/meminfo"), _cgroup_bytes(root / "sys/fs/cgroup")]
    known = [limit for limit in limits if limit is not None]
    return max(0, min(known)) if known else _UNKNOWN_BYTES


def _meminfo_bytes(path: Path) -> int | None:
    with contextlib.suppress(OSError, ValueError):
        for line in path.read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) << 10
    return None


def _cgroup_bytes(group: Path) -> int | None:
    for limit_name, usage_name in (
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    ):
        with contextlib.suppress(OSError, ValueError):
            # int("max") fails: no limit here.
            return int((group / limit_name).read_text()) - int((group / usage_name).read_text())
    return None
