"""CPU time, memory and storage reads of a process and everything it started, right across births and deaths.

The kernel hands a dead process's CPU time and reads to the parent that reaps it, so the sum of own and reaped
over the living loses nothing when a worker dies. Two cases need care, both met in :meth:`ProcessTree.read`:
a child that dies between the reading of its parent and its own, and a child nobody in the tree reaps.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

TICK_S = 1.0 / os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_SCAN_SHARE = 0.01
"""Looking for new processes may take this share of one core; on machines with many it happens less often."""
_LONGEST_BLIND_S = 2.0
_ROUNDING_TICKS = 3
"""The kernel rounds own and reaped times down separately."""


@dataclass(frozen=True, slots=True)
class TreeUse:
    """What a tree of processes has used since it was first looked at."""

    cpu_s: float
    read_bytes: int | None
    """Brought in from storage; ``None`` when no process lets us read it."""
    asked_bytes: int | None
    """Asked for by reading calls, whether storage or the page cache answered; mapped files are not in it."""
    rss_bytes: int
    """Right now; pages shared between processes count in each."""
    processes: int
    """Alive (or dead and not yet reaped) right now."""
    queued_s: Mapping[int, float] = field(default_factory=dict)
    """By pid of the living: how long their main threads have stood ready to run without a CPU, since they were born
    (``/proc/PID/schedstat``, Documentation/scheduler/sched-stats.rst); empty where the kernel does not count it."""


class _Reads(NamedTuple):
    """Two counters of a process, in bytes: what came from storage, and what was asked for."""

    stored: int
    asked: int

    def plus(self, other: _Reads) -> _Reads:
        return _Reads(self.stored + other.stored, self.asked + other.asked)


_NO_READS = _Reads(0, 0)


class _Process:
    """One living member of the tree. The open file pins it: a reused pid cannot answer through it."""

    __slots__ = ("fd", "own_ticks", "parent", "pid", "reads", "reaped_ticks", "rss_bytes", "session")

    def __init__(self, pid: int, fd: int) -> None:
        self.pid, self.fd = pid, fd
        self.parent = self.session = 0
        self.own_ticks = self.reaped_ticks = 0
        self.rss_bytes = 0
        self.reads = _NO_READS
        self.refresh()

    def refresh(self) -> None:
        """Read /proc/PID/stat again.

        Raises:
            ProcessLookupError: it is gone.
        """
        # The name (field 2) may hold spaces and brackets; fields are counted from behind it. See proc(5).
        fields = os.pread(self.fd, 1024, 0).rpartition(b")")[2].split()
        if len(fields) < 22:
            raise ProcessLookupError(self.pid)
        self.parent, self.session = int(fields[1]), int(fields[3])
        self.own_ticks = int(fields[11]) + int(fields[12])
        self.reaped_ticks = int(fields[13]) + int(fields[14])
        self.rss_bytes = int(fields[21]) * PAGE_BYTES

    @property
    def ticks(self) -> int:
        return self.own_ticks + self.reaped_ticks


class ProcessTree:
    """The process ``root`` and its descendants.

    Args:
        root: pid of the first process.
        proc: where the process file system is mounted.

    Raises:
        OSError: no such process, or no process file system.
    """

    def __init__(self, root: int, proc: Path = Path("/proc")) -> None:
        self.root = root
        self._proc = str(proc)
        self._members: dict[int, _Process] = {}
        """Parents before their children, because a parent is known before its children can be."""
        self._seen: set[int] = set()
        self._next_scan_s = 0.0
        self._orphaned_ticks, self._orphaned_reads = 0, _NO_READS
        """Used by the dead whom nobody in the tree reaped."""
        self._highest = _NO_READS
        self._reads_allowed = False
        self._members[root] = self._open(root)
        self._find_new()
        self._refresh_reads()
        self._base_ticks, self._base_reads = self._ticks(), self._reads()

    def read(self) -> TreeUse:
        """Return what the tree has used since this object was made."""
        self._refresh()
        self._find_new()
        self._refresh_reads()
        now, base = self._reads(), self._base_reads
        # A worker between its death and its burial is missing for a moment; what was read cannot become less.
        self._highest = _Reads(*map(max, self._highest, (now.stored - base.stored, now.asked - base.asked)))
        return TreeUse(
            cpu_s=(self._ticks() - self._base_ticks) * TICK_S,
            read_bytes=self._highest.stored if self._reads_allowed else None,
            asked_bytes=self._highest.asked if self._reads_allowed else None,
            rss_bytes=sum(process.rss_bytes for process in self._members.values()),
            processes=len(self._members),
            queued_s=self._queued(),
        )

    @property
    def pids(self) -> list[int]:
        """The members known to be alive at the last reading."""
        return list(self._members)

    def close(self) -> None:
        """Close the files that pin the processes."""
        for process in self._members.values():
            os.close(process.fd)
        self._members.clear()

    def _ticks(self) -> int:
        return sum(process.ticks for process in self._members.values()) + self._orphaned_ticks

    def _reads(self) -> _Reads:
        return _total(self._members.values()).plus(self._orphaned_reads)

    def _queued(self) -> dict[int, float]:
        found = {}
        for pid in self._members:
            try:
                with open(f"{self._proc}/{pid}/schedstat", "rb") as file:
                    words = file.read(100).split()
            except OSError:  # just gone, or a kernel without scheduler statistics
                continue
            if len(words) == 3:
                found[pid] = int(words[1]) * 1e-9
        return found

    def _open(self, pid: int) -> _Process:
        fd = os.open(f"{self._proc}/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
        try:
            return _Process(pid, fd)
        except BaseException:
            os.close(fd)
            raise

    def _refresh(self) -> None:
        """Read every member again and bury the dead.

        A child found dead may have been reaped after its parent was read, so all are read again until a pass
        meets no further death: that pass, parents before children, saw every credit exactly once.
        """
        before = {pid: process.reaped_ticks for pid, process in self._members.items()}
        dead: dict[int, _Process] = {}
        while fallen := [p for p in self._members.values() if p.pid not in dead and not _alive(p)]:
            dead.update((process.pid, process) for process in fallen)
        self._bury(dead, before)

    def _bury(self, dead: dict[int, _Process], before: dict[int, int]) -> None:
        """Take the dead out; keep what was not credited to their nearest living ancestor."""
        heirs: dict[int, list[_Process]] = {}
        for process in dead.values():
            heir = process.parent
            while heir in dead:
                heir = dead[heir].parent
            heirs.setdefault(heir if heir in self._members else 0, []).append(process)
        for heir, children in heirs.items():
            left = sum(child.ticks for child in children)
            credit = self._members[heir].reaped_ticks - before[heir] if heir else 0
            if left - credit > _ROUNDING_TICKS * len(children) or not heir:
                self._orphaned_ticks += max(0, left - credit)
                self._orphaned_reads = self._orphaned_reads.plus(_total(children))
        for process in dead.values():
            os.close(process.fd)
            del self._members[process.pid]

    def _find_new(self) -> None:
        """Adopt the processes born since the last look."""
        if time.monotonic() < self._next_scan_s or not self._members:
            return
        began_s = time.thread_time()  # what it costs, not how long a busy machine made it wait
        pids = {int(name) for name in os.listdir(self._proc) if name.isdigit()}
        strangers: dict[int, tuple[int, int]] = {}
        for pid in sorted(pids - self._seen - self._members.keys()):
            process = self._try_open(pid)
            if process is not None:
                os.close(process.fd)  # a machine may have more processes than we may have open files
                strangers[pid] = process.parent, process.session
        self._seen = pids
        while ours := [pid for pid, (parent, session) in strangers.items() if self._belongs(parent, session)]:
            for pid in ours:
                del strangers[pid]
                process = self._try_open(pid)
                if process is not None and self._belongs(process.parent, process.session):
                    self._members[pid] = process
        cost_s = time.thread_time() - began_s
        self._next_scan_s = time.monotonic() + min(cost_s / _SCAN_SHARE, _LONGEST_BLIND_S)

    def _try_open(self, pid: int) -> _Process | None:
        try:
            return self._open(pid)
        except (ProcessLookupError, FileNotFoundError, PermissionError):  # gone again, or not ours to see
            return None

    def _belongs(self, parent: int, session: int) -> bool:
        # The session also finds what a dead intermediate process left behind, when the root leads one.
        return parent in self._members or session == self.root

    def _refresh_reads(self) -> None:
        for process in self._members.values():
            try:
                fd = os.open(f"{self._proc}/{process.pid}/io", os.O_RDONLY | os.O_CLOEXEC)
            except OSError:  # not permitted, or just gone: what was last read stays
                continue
            try:
                lines = os.pread(fd, 1024, 0).split()
            except OSError:  # as above; the kernel checks again at each read
                continue
            finally:
                os.close(fd)
            if b"read_bytes:" in lines and b"rchar:" in lines:
                stored, asked = (int(lines[lines.index(name) + 1]) for name in (b"read_bytes:", b"rchar:"))
                process.reads = _Reads(stored, asked)
                self._reads_allowed = True


def _total(processes: Iterable[_Process]) -> _Reads:
    total = _NO_READS
    for process in processes:
        total = total.plus(process.reads)
    return total


def _alive(process: _Process) -> bool:
    """Refresh a process; return whether it was still there."""
    try:
        process.refresh()
    except ProcessLookupError:
        return False
    return True
