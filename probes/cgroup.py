"""What the control groups around this process allow: CPU quota, memory limit, throttling (versions 1 and 2).

torch and os.cpu_count() see none of this; in a container it is the limit that counts. Every group on the path
limits, so the tightest one is found by walking up. Inside a container the path in /proc/self/cgroup may not
exist under the mount (no cgroup namespace); the walk then ends at its root, the container's own group.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Throttling:
    """How often the CPU quota stopped us, counted since the group was made."""

    periods: int
    throttled_s: float
    """Summed over the CPUs that had to wait."""


@dataclass(frozen=True, slots=True)
class Cgroup:
    """The groups of one process.

    Args:
        mount: where the hierarchies are mounted.
        membership: the process's ``/proc/PID/cgroup``.
    """

    mount: Path = Path("/sys/fs/cgroup")
    membership: Path = Path("/proc/self/cgroup")

    def cpu_quota(self) -> float | None:
        """Return how many CPUs' worth of time the groups grant, ``None`` without a quota."""
        quotas = []
        for folder, version in self._folders("cpu"):
            if version == 2:
                words = read_text(folder / "cpu.max").split()
            else:
                words = [read_text(folder / f"cpu.cfs_{name}_us").strip() for name in ("quota", "period")]
            if len(words) == 2 and all(word.isdigit() for word in words) and int(words[1]):
                quotas.append(int(words[0]) / int(words[1]))  # "max" and "-1" mean no quota
        return min(quotas, default=None)

    def throttling(self) -> Throttling | None:
        """Return the counters of the innermost group that keeps them."""
        for folder, version in self._folders("cpu"):
            counters = read_table(folder / "cpu.stat")
            if "nr_throttled" in counters:
                name, unit = ("throttled_usec", 1e-6) if version == 2 else ("throttled_time", 1e-9)
                return Throttling(counters["nr_throttled"], counters.get(name, 0) * unit)
        return None

    def memory(self) -> tuple[int, int] | None:
        """Return ``(limit, still available)`` in bytes of the tightest group, ``None`` without a limit."""
        tightest: tuple[int, int] | None = None
        for folder, version in self._folders("memory"):
            limits, usage = _MEMORY_FILES[version]
            values = [int(text) for name in limits if (text := read_text(folder / name).strip()).isdigit()]
            limit = min(values, default=_UNLIMITED)
            used = read_text(folder / usage).strip()
            if limit >= _UNLIMITED or not used.isdigit():
                continue
            stat = read_table(folder / "memory.stat")
            # Cached file pages count as used but are given up under pressure.
            cached = stat.get("total_inactive_file", stat.get("inactive_file", 0))
            available = max(0, limit - max(0, int(used) - cached))
            if tightest is None or available < tightest[1]:
                tightest = (limit, available)
        return tightest

    def _folders(self, controller: str) -> Iterator[tuple[Path, int]]:
        """Yield the group folders that control ``controller``, innermost first, with their version."""
        for line in read_text(self.membership).splitlines():
            number, _, rest = line.partition(":")
            controllers, _, path = rest.partition(":")
            if number == "0" and not controllers:
                mounts, version = [self.mount, self.mount / "unified"], 2
            elif controller in controllers.split(","):
                mounts, version = [self.mount / controllers, self.mount / controller], 1
            else:
                continue
            mount = next((m for m in mounts if (m / "cgroup.procs").exists()), None)
            if mount is None:
                continue
            folder = mount / path.strip("/")
            while folder != mount and mount in folder.parents:
                yield folder, version
                folder = folder.parent
            yield mount, version


_UNLIMITED = 1 << 60
"""Version 1 spells "no limit" as the largest number of pages."""
_MEMORY_FILES = {
    1: (("memory.limit_in_bytes",), "memory.usage_in_bytes"),
    2: (("memory.max", "memory.high"), "memory.current"),
}


def read_text(path: Path) -> str:
    """Return a small file's text, empty when it cannot be read: absence is an answer here."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def read_table(path: Path) -> dict[str, int]:
    """Return a file of ``name number`` or ``name: number unit`` lines."""
    table = {}
    for line in read_text(path).splitlines():
        words = line.replace(":", " ").split()
        if len(words) >= 2 and words[1].isdigit():
            table[words[0]] = int(words[1])
    return table
