"""The limits of the machine as a process on it meets them; ``None`` where they cannot be read."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from pathlib import Path

from gputune.probes.cgroup import Cgroup, read_table, read_text

PROC = Path("/proc")
SHARED_MEMORY = Path("/dev/shm")
TOPOLOGY = Path("/sys/devices/system/cpu/cpu0/topology")


@dataclass(frozen=True, slots=True)
class Cpus:
    """How many CPUs there are and how many may be used."""

    present: int
    affinity: int
    quota: float | None
    """CPU time granted by control groups, in CPUs."""

    @property
    def effective(self) -> float:
        """The smallest of affinity and quota: what the work of all processes together can get."""
        return float(self.affinity) if self.quota is None else min(float(self.affinity), self.quota)


@dataclass(frozen=True, slots=True)
class Memory:
    """Main memory within the tightest limit, in bytes."""

    total_bytes: int
    available_bytes: int


def cpus(cgroup: Cgroup = Cgroup()) -> Cpus:  # noqa: B008 (frozen)
    """Return the CPUs of this process."""
    present = os.cpu_count() or 1
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else present
    return Cpus(present=present, affinity=affinity, quota=cgroup.cpu_quota())


def threads_per_core(topology: Path = TOPOLOGY) -> int:
    """Return how many CPUs share one core's units; 1 where the machine does not tell."""
    siblings = read_text(topology / "thread_siblings_list").strip()  # "0", "0,64" or "0-1": see cpu(5) lists
    total = 0
    for part in siblings.split(","):
        first, _, last = part.partition("-")
        if first.isdigit():
            total += int(last) - int(first) + 1 if last.isdigit() else 1
    return max(1, total)


def memory(cgroup: Cgroup = Cgroup(), proc: Path = PROC) -> Memory | None:  # noqa: B008 (frozen)
    """Return memory within the machine and the control groups, whichever is tighter."""
    table = read_table(proc / "meminfo")
    if "MemTotal" not in table:
        return None
    total = table["MemTotal"] << 10
    available = table.get("MemAvailable", table.get("MemFree", 0)) << 10
    limit = cgroup.memory()
    if limit is not None:
        total, available = min(total, limit[0]), min(available, limit[1])
    return Memory(total_bytes=total, available_bytes=available)


def shm_free_bytes(folder: Path = SHARED_MEMORY) -> int | None:
    """Return the free bytes of shared memory, through which workers hand over batches."""
    try:
        status = os.statvfs(folder)
    except OSError:
        return None
    return status.f_bavail * status.f_frsize


def open_files_limit() -> int | None:
    """Return the soft limit on open files, ``None`` when there is none to speak of."""
    try:
        import resource
    except ImportError:  # not a POSIX system
        return None
    soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if soft == resource.RLIM_INFINITY else soft


def cpu_model(proc: Path = PROC) -> str:
    """Return the processor's name, or its architecture where the kernel gives no name (ARM)."""
    for line in read_text(proc / "cpuinfo").splitlines():
        name, _, value = line.partition(":")
        if name.strip() in ("model name", "Model"):
            return " ".join(value.split())
    return platform.processor() or platform.machine()
