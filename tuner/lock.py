"""One campaign at a time on a machine: two of them would measure each other."""

from __future__ import annotations

import contextlib
import fcntl
import os
import platform
import time
from collections.abc import Iterator
from pathlib import Path

from gputune import talk
from gputune.errors import InconclusiveError


def cache_folder() -> Path:
    """Return the user's own cache folder for gputune (created, private)."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = base / "gputune"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder


@contextlib.contextmanager
def campaign(wait_s: float = 0.0) -> Iterator[None]:
    """Hold the user's campaign lock; the kernel releases it when the process ends, however it ends.

    Args:
        wait_s: how long to wait for another campaign to end.

    Raises:
        InconclusiveError: another campaign of this user is running here.
    """
    try:
        path = cache_folder() / f"campaign-{_machine()}.lock"
        file = open(path, "a+", encoding="ascii")  # noqa: SIM115  closed below; held for the whole campaign
    except OSError:
        yield  # without a writable home there is nothing to lock with, and nobody to be locked out
        return
    with file:
        if not _locked(file.fileno(), wait_s):
            file.seek(0)
            raise InconclusiveError(talk.already_running(file.read().strip() or "unknown"), talk.CONCURRENT_HINT)
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def _machine() -> str:
    """Return what all containers of one machine share and no other machine has: homes are often shared, too."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return platform.node()


def _locked(fd: int, wait_s: float) -> bool:
    deadline = time.monotonic() + wait_s
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except OSError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.2)
