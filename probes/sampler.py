"""Watches the target's processes, the machine and the GPU from outside while bursts run.

A thread of the tuner's process, not of the target's: sampling must not cost the training loop its GIL or the
driver's lock. It only collects; what a stretch amounts to is computed in :mod:`gputune.probes.timeline`.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from pathlib import Path

from gputune.probes import timeline
from gputune.probes.burst import GpuUse, HostUse
from gputune.probes.cgroup import Cgroup, read_text
from gputune.probes.gpu.interface import Gpu
from gputune.probes.memory import TreeMemory
from gputune.probes.processes import TICK_S, ProcessTree, TreeUse
from gputune.probes.series import Series
from gputune.probes.timeline import Tick

_KEPT_TICKS = 20_000
"""About an hour at the default interval; older ticks are forgotten."""
_ALL = -1
"""Stands for all cores together."""
_STUCK = "Sampling stood still: the kernel or the GPU driver did not answer in time."


class Sampler:
    """Samples until stopped or until the target is gone; no method raises because of what it watches.

    Args:
        pid: the target; its descendants are watched with it.
        gpu: the device it uses. The sampler does not close it.
        interval_s: time between samples.
        patience_s: how long to wait for a sample before going on without it.
        proc: where the process file system is mounted.
    """

    def __init__(
        self, pid: int, gpu: Gpu, interval_s: float = 0.2, patience_s: float = 2.0, proc: Path = Path("/proc")
    ) -> None:
        self._pid = pid
        self._gpu = gpu
        self._interval_s = interval_s
        self._patience_s = patience_s
        self._proc = proc
        self._cgroup = Cgroup(membership=proc / "self" / "cgroup")
        self._tree: ProcessTree | None = None
        self._memory = TreeMemory(proc)
        self._cores = _allowed_cores(pid)
        self._ticks: deque[Tick] = deque(maxlen=_KEPT_TICKS)
        self._reasons: dict[str, str] = {}
        self._changed = threading.Condition()
        """Guards ticks and reasons; signalled at each tick, when one is wanted and at the end."""
        self._wanted = self._stopping = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to sample in a thread; the first sample is taken before this returns."""
        try:
            self._tree = ProcessTree(self._pid, self._proc)
        except OSError as error:
            reason = error.strerror or "it is gone"
            self._note("tree", f"CPU, memory and disk use of process {self._pid} missing: {reason}.")
        self._thread = threading.Thread(target=self._run, name="gputune-sampler", daemon=True)
        self._thread.start()
        self._see_until(0.0)

    def stop(self) -> None:
        """End the thread; what was seen stays available."""
        if self._thread is None:
            return
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        self._thread.join(self._patience_s)
        if self._thread.is_alive():
            self._note("stuck", _STUCK)
        self._thread = None

    def window(self, start_s: float, end_s: float) -> tuple[HostUse, GpuUse]:
        """Return what happened between two moments of ``time.monotonic()``; values not seen are ``None``."""
        self._see_until(min(end_s, time.monotonic()))
        if end_s <= start_s:
            return HostUse(), GpuUse()
        ticks = self._copy()
        return timeline.host_use(ticks, start_s, end_s), timeline.gpu_use(ticks, start_s, end_s)

    def series(self, start_s: float, end_s: float) -> Series:
        """Return what was seen between two moments of ``time.monotonic()``, as arrays of bounded length."""
        self._see_until(min(end_s, time.monotonic()))
        return timeline.series(self._copy(), start_s, end_s)

    def recent(self, length_s: float) -> Series:
        """Return what was seen in the last seconds, without waiting for a sample."""
        now_s = time.monotonic()
        return timeline.series(self._copy(), now_s - length_s, now_s)

    def missing(self) -> list[str]:
        """Return one sentence for each thing that could not be measured."""
        with self._changed:
            return [*self._reasons.values(), *self._gpu.missing()]

    def _note(self, key: str, sentence: str) -> None:
        with self._changed:
            self._reasons[key] = sentence

    def _copy(self) -> list[Tick]:
        with self._changed:
            return list(self._ticks)

    def _see_until(self, moment_s: float) -> None:
        """Have a sample taken at or after a moment, so that the end of a window is seen and not guessed."""
        with self._changed:
            if self._thread is None or self._seen(moment_s):
                return
            self._wanted = True
            self._changed.notify_all()
            if not self._changed.wait_for(lambda: self._seen(moment_s), self._patience_s):
                self._note("stuck", _STUCK)

    def _seen(self, moment_s: float) -> bool:
        return self._stopping or (bool(self._ticks) and self._ticks[-1].time_s >= moment_s)

    def _run(self) -> None:
        try:
            while not self._stopping:
                self._wanted = False  # before looking: a wish uttered meanwhile is for the next look
                tick = self._look()
                with self._changed:
                    self._ticks.append(tick)
                    self._changed.notify_all()
                    self._changed.wait_for(lambda: self._wanted or self._stopping, self._interval_s)
        except Exception as error:  # noqa: BLE001 (corroborating figures must never end a campaign)
            with self._changed:
                self._note("sampler", f"Sampling ended early: {type(error).__name__}: {error}.")
        finally:
            with self._changed:
                self._stopping = True
                self._changed.notify_all()
            self._drop_tree()

    def _look(self) -> Tick:
        """Read everything once. Only the sampling thread does: a driver that hangs holds up nobody else."""
        time_s = time.monotonic()
        tree = self._read_tree()
        busy = _cpu_busy_s(self._proc)
        busy_s = busy.pop(_ALL, None)
        own_cpu_s = time.process_time()
        if busy_s is None:
            self._note("machine", f"CPU use of other processes missing: {self._proc}/stat is unreadable.")
        throttling = self._cgroup.throttling()
        queued_s = tree.queued_s if tree else {}
        return Tick(
            time_s=time_s,
            tree_cpu_s=tree.cpu_s if tree else None,
            own_cpu_s=own_cpu_s,
            busy_s=busy_s,
            read_bytes=tree.read_bytes if tree else None,
            asked_bytes=tree.asked_bytes if tree else None,
            rss_bytes=tree.rss_bytes if tree else None,
            main_queued_s={p: s for p, s in queued_s.items() if p == self._pid},
            workers_queued_s={p: s for p, s in queued_s.items() if p != self._pid},
            pss_bytes=self._memory.read(self._tree.pids) if self._tree else None,
            throttled_s=throttling.throttled_s if throttling else None,
            core_busy_s=tuple((core, used_s) for core, used_s in busy.items() if core in self._cores),
            gpu=self._gpu.read(),
        )

    def _read_tree(self) -> TreeUse | None:
        if self._tree is None:
            return None
        try:
            use = self._tree.read()
        except OSError as error:
            self._note("tree", f"CPU, memory and disk use missing from some point on: {error}.")
            self._drop_tree()
            return None
        if use.read_bytes is None:
            self._note("reads", "Disk reads missing: no permission to read /proc/PID/io of the target.")
        if use.processes == 0:  # nothing more will come; the last figures still belong to the last moment
            self._drop_tree()
        return use

    def _drop_tree(self) -> None:
        if self._tree is not None:
            self._tree.close()
            self._tree = None


def _allowed_cores(pid: int) -> frozenset[int]:
    """Return the cores a process may run on; none when it cannot be asked."""
    try:
        return frozenset(os.sched_getaffinity(pid))
    except OSError:
        return frozenset()


def _cpu_busy_s(proc: Path) -> dict[int, float]:
    """Return CPU time used by all processes on each core and, under ``_ALL``, on the machine; {} when unreadable.

    The hypervisor's share (steal) is not theirs.
    """
    found = {}
    for line in read_text(proc / "stat").splitlines():
        words = line.split()
        if len(words) < 8 or not words[0].startswith("cpu"):
            break  # the lines of the cores come first
        user, nice, system, _idle, _iowait, irq, softirq = (int(word) for word in words[1:8])
        found[int(words[0][3:] or _ALL)] = (user + nice + system + irq + softirq) * TICK_S
    return found
