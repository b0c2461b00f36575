"""Memory of a tree of processes with every shared page counted once, which is what runs out.

Resident memory counts a page in each process that maps it, so it neither shows what forked workers share nor how
copy-on-write un-shares it. The proportional set size does; the kernel walks page tables for it, so it is read
seldom: however large the processes, it takes a hundredth of a core.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path

from gputune.probes.cgroup import read_table

_COST_SHARE = 0.01
_SHORTEST_S = 0.5


class TreeMemory:
    """Reads the proportional set size of processes, as often as that is cheap.

    Args:
        proc: where the process file system is mounted.
    """

    def __init__(self, proc: Path = Path("/proc")) -> None:
        self._proc = proc
        self._next_s = 0.0

    def read(self, pids: Iterable[int]) -> int | None:
        """Return bytes, or ``None`` where it is not time yet or one of the processes cannot be read.

        A tree of which a part is missing would look as if it had shrunk.
        """
        now_s = time.monotonic()
        if now_s < self._next_s:
            return None
        began_s, total = time.thread_time(), 0
        for pid in pids:
            table = read_table(self._proc / str(pid) / "smaps_rollup")
            if "Pss" not in table:
                return None
            total += table["Pss"] << 10
        cost_s = time.thread_time() - began_s
        self._next_s = now_s + max(_SHORTEST_S, cost_s / _COST_SHARE)
        return total or None
