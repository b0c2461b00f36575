"""End every process that descends from the keeper, however it tried to get away.

The keeper is a child subreaper: what forks twice or starts a session of its own becomes the keeper's
child when its parent ends, so the tree below the keeper is complete.
"""

from __future__ import annotations

import os
import signal
import time

PATIENT = ("resource_tracker", "torch_shm_manager")
"""Helpers that clean up shared memory once their last client is gone; killed last."""
_STEP_S = 0.005


def parents() -> dict[int, int]:
    """Return ``{pid: parent pid}`` of every live process; zombies are left out."""
    table = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            fields = stat_fields(int(name))
            if fields and fields[0] not in ("Z", "X"):
                table[int(name)] = int(fields[1])
    return table


def stat_fields(pid: int) -> list[str]:
    """Return the fields of ``/proc/PID/stat`` after the name (state first), empty once it is gone."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rpartition(")")[2].split()
    except OSError:
        return []


def start_ticks(pid: int) -> int:
    """Return when the process started, in clock ticks since boot; 0 when it is gone or a zombie."""
    fields = stat_fields(pid)
    return int(fields[19]) if fields and fields[0] not in ("Z", "X") else 0


def descendants(root: int) -> set[int]:
    """Return the live processes below ``root``."""
    table = parents()
    found: set[int] = set()
    frontier = {root}
    while frontier:
        frontier = {pid for pid, parent in table.items() if parent in frontier} - found - {root}
        found |= frontier
    return found


def collect_zombies(statuses: dict[int, int]) -> None:
    """Reap every child that has ended; wait statuses go into ``statuses``."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        statuses[pid] = status


def end_all(linger_s: float, statuses: dict[int, int], deadline_s: float = 10.0) -> tuple[set[int], set[int]]:
    """End every descendant of this process.

    They are left alone for ``linger_s``, then get SIGTERM, then SIGKILL until none is left.

    Returns:
        The processes that had to be signalled, and those that could not be ended (another user's, or stuck
        in the kernel) within ``deadline_s``.
    """
    signalled: set[int] = set()
    _until(linger_s, statuses)
    for pid in descendants(os.getpid()):
        _signal(pid, signal.SIGTERM)
        signalled.add(pid)
    if signalled:
        _until(0.3, statuses)
    end = time.monotonic() + deadline_s
    patience_end = time.monotonic() + 0.5
    while (left := descendants(os.getpid())) and time.monotonic() < end:
        patient = {pid for pid in left if _is_patient(pid)}
        for pid in left if left == patient and time.monotonic() > patience_end else left - patient:
            _signal(pid, signal.SIGKILL)
            signalled.add(pid)
        time.sleep(_STEP_S)
        collect_zombies(statuses)
    _reap_the_last(statuses)
    return signalled, descendants(os.getpid())


def _reap_the_last(statuses: dict[int, int], limit_s: float = 0.25) -> None:
    """Wait for children that are dying or dead already, so that no zombie is left to an init that never reaps."""
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid:
            statuses[pid] = status
        else:
            time.sleep(_STEP_S)


def _until(seconds: float, statuses: dict[int, int]) -> None:
    end = time.monotonic() + seconds
    while True:
        collect_zombies(statuses)
        if time.monotonic() >= end or not descendants(os.getpid()):
            return
        time.sleep(_STEP_S)


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        return  # gone meanwhile, or a set-uid program: reported as left when it stays


def _is_patient(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            command = file.read()
    except OSError:
        return False
    return any(name.encode() in command for name in PATIENT)
