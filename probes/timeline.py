"""What the sampler saw, and what it amounts to between two moments (pure functions of ticks)."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from operator import attrgetter
from statistics import fmean

from gputune.probes.burst import GpuUse, HostUse
from gputune.probes.gpu.interface import Reading
from gputune.probes.series import MAX_CORE_ROWS, MAX_POINTS, Series

_LONGEST_PERIOD_S = 1.0
"""NVML's utilisation figures look back at most this far."""
_SHORTEST_ENERGY_S = 3.0
"""Energy counters move in steps; over less than this a difference says little."""
_LATE_S = 2.0
"""The driver's own samples of a moment may reach us this much later."""


@dataclass(frozen=True, slots=True)
class Tick:
    """One look at the machine. Counters have an arbitrary start; ``None`` where they could not be read."""

    time_s: float
    tree_cpu_s: float | None = None
    """CPU time of the target and its descendants."""
    own_cpu_s: float = 0.0
    """CPU time of the process that samples."""
    busy_s: float | None = None
    """CPU time of everything on the machine."""
    read_bytes: int | None = None
    asked_bytes: int | None = None
    rss_bytes: int | None = None
    pss_bytes: int | None = None
    """Memory of the tree with shared pages counted once; not in every tick."""
    throttled_s: float | None = None
    core_busy_s: tuple[tuple[int, float], ...] = ()
    """``(core, CPU time of everything on it)`` for each core the target may use."""
    main_queued_s: Mapping[int, float] = field(default_factory=dict)
    """By pid: how long the main thread of the training process has stood ready to run without a CPU."""
    workers_queued_s: Mapping[int, float] = field(default_factory=dict)
    """The same of the processes it started."""
    gpu: Reading | None = None


def host_use(ticks: Sequence[Tick], start_s: float, end_s: float) -> HostUse:
    """Return what the machine did between two moments."""
    part = _around(ticks, start_s, end_s)
    tree = _rate(part, "tree_cpu_s", start_s, end_s)
    busy = _rate(part, "busy_s", start_s, end_s)
    own = _rate(part, "own_cpu_s", start_s, end_s)
    read = _rate(part, "read_bytes", start_s, end_s)
    sizes = [(tick.time_s, float(tick.pss_bytes)) for tick in part if tick.pss_bytes is not None]
    grown = _growth(sizes, start_s, end_s)
    asked = _rate(part, "asked_bytes", start_s, end_s)
    throttled = _rate(part, "throttled_s", start_s, end_s)
    other = None
    if tree is not None and busy is not None and own is not None:
        other = max(0.0, busy - tree - own)
    return HostUse(
        cpu_cores=tree,
        other_cpu_cores=other,
        rss_bytes=None if tree is None else _largest(tick.rss_bytes for tick in part),
        memory_growth_bytes=None if grown is None else round(grown),
        read_bytes=None if read is None else round(read * (end_s - start_s)),
        asked_bytes=None if asked is None else round(asked * (end_s - start_s)),
        throttled_s=None if throttled is None else throttled * (end_s - start_s),
        queued_share=_queued_share(part, "main_queued_s", start_s, end_s),
        worker_queued_share=_queued_share(part, "workers_queued_s", start_s, end_s),
    )


def _queued_share(ticks: Sequence[Tick], counters: str, start_s: float, end_s: float) -> float | None:
    """Return the part of a stretch in which processes stood ready to run without a CPU: their mean."""
    shares = []
    for pid in {pid for tick in ticks for pid in getattr(tick, counters)}:
        seen = [(tick.time_s, getattr(tick, counters)) for tick in ticks]
        grown = _growth([(time_s, by_pid[pid]) for time_s, by_pid in seen if pid in by_pid], start_s, end_s)
        if grown is not None:
            shares.append(min(1.0, grown / (end_s - start_s)))
    return fmean(shares) if shares else None


def gpu_use(ticks: Sequence[Tick], start_s: float, end_s: float) -> GpuUse:
    """Return what the GPU did between two moments.

    Utilisation comes from the driver's own samples where it gives them, from our polling otherwise.
    """
    late = [tick.gpu for tick in _around(ticks, start_s, end_s + _LATE_S) if tick.gpu is not None]
    readings = [reading for reading in late if start_s <= reading.time_s <= end_s]
    history = sorted({sample for reading in late for sample in reading.utilization_samples})
    energy = None
    if end_s - start_s >= _SHORTEST_ENERGY_S:
        energy = _growth([(r.time_s, r.energy_j) for r in late if r.energy_j is not None], start_s, end_s)
    utilization = _mean_over(history, start_s, end_s)
    if utilization is None:
        utilization = _mean(reading.utilization for reading in readings)
    busy_sms = [(r.time_s, r.sm_utilization) for r in late if r.sm_utilization is not None]
    throttled = sorted({reason for reading in readings for reason in reading.throttle_reasons})
    return GpuUse(
        utilization=utilization,
        sm_utilization=_mean_over(busy_sms, start_s, end_s),
        memory_used_bytes=_largest(reading.memory_used_bytes for reading in readings),
        power_w=_mean(reading.power_w for reading in readings),
        sm_clock_mhz=_mean(reading.sm_clock_mhz for reading in readings),
        throttle_reasons=tuple(throttled),
        energy_j=energy,
        pcie_received_bytes=_traffic(late, "pcie_received_bytes", start_s, end_s),
        pcie_sent_bytes=_traffic(late, "pcie_sent_bytes", start_s, end_s),
    )


def series(ticks: Sequence[Tick], start_s: float, end_s: float, max_points: int = MAX_POINTS) -> Series:
    """Return the ticks between two moments as arrays; neighbours are merged until there are few enough."""
    seen = list(_around(ticks, start_s, end_s))
    step = max(1, -(-(len(seen) - 1) // max_points))
    bounds = seen[::step] if len(seen) % step == 1 or step == 1 else [*seen[::step], seen[-1]]
    if len(bounds) < 2:
        return Series(start_s=start_s)
    spans = list(pairwise(bounds))
    rows, cores, width = _core_rows(spans)
    return Series(
        start_s=bounds[0].time_s,
        t_s=[later.time_s for _, later in spans],
        cpu_cores=[_used(earlier, later) for earlier, later in spans],
        gpu_utilization=[_gpu_share(seen, earlier.time_s, later.time_s) for earlier, later in spans],
        rss_bytes=[later.rss_bytes for _, later in spans],
        core_busy=rows,
        cores=cores,
        cores_a_row=width,
    )


def _used(earlier: Tick, later: Tick) -> float | None:
    """Return the cores the target kept busy between two ticks."""
    if earlier.tree_cpu_s is None or later.tree_cpu_s is None or later.time_s <= earlier.time_s:
        return None
    return (later.tree_cpu_s - earlier.tree_cpu_s) / (later.time_s - earlier.time_s)


def _gpu_share(ticks: Sequence[Tick], from_s: float, to_s: float) -> float | None:
    """Return the GPU's mean utilisation: from the driver's own samples where there are any, else from our polls."""
    readings = [tick.gpu for tick in ticks if tick.gpu is not None and from_s < tick.time_s <= to_s]
    driver = [share for reading in readings for at_s, share in reading.utilization_samples if from_s < at_s <= to_s]
    return fmean(driver) if driver else _mean(reading.utilization for reading in readings)


def _core_rows(spans: Sequence[tuple[Tick, Tick]]) -> tuple[list[list[int]], list[int], int]:
    """Return percent busy by core (or group of neighbouring cores) and span, each row's first core, cores a row."""
    columns = [_core_shares(earlier, later) for earlier, later in spans]
    known = sorted(set.intersection(*(set(column) for column in columns)))
    width = max(1, -(-len(known) // MAX_CORE_ROWS))
    groups = [known[first : first + width] for first in range(0, len(known), width)]
    rows = [[round(100 * fmean(column[core] for core in group)) for column in columns] for group in groups]
    return rows, [group[0] for group in groups], width


def _core_shares(earlier: Tick, later: Tick) -> dict[int, float]:
    length_s, before = later.time_s - earlier.time_s, dict(earlier.core_busy_s)
    if length_s <= 0:
        return {}
    grown = {core: busy_s - before[core] for core, busy_s in later.core_busy_s if core in before}
    return {core: min(1.0, max(0.0, busy_s / length_s)) for core, busy_s in grown.items()}


def _around(ticks: Sequence[Tick], start_s: float, end_s: float) -> Sequence[Tick]:
    """Return the ticks between two moments with the neighbour on either side."""
    first = bisect_right(ticks, start_s, key=attrgetter("time_s"))
    last = bisect_left(ticks, end_s, key=attrgetter("time_s"))
    return ticks[max(0, first - 1) : last + 1]


def _rate(ticks: Sequence[Tick], counter: str, start_s: float, end_s: float) -> float | None:
    """Return a counter's growth per second."""
    points = [(tick.time_s, float(v)) for tick in ticks if (v := getattr(tick, counter)) is not None]
    grown = _growth(points, start_s, end_s)
    return None if grown is None else grown / (end_s - start_s)


def _traffic(readings: Sequence[Reading], counter: str, start_s: float, end_s: float) -> int | None:
    """Return what went over the bus; a counter that became smaller has wrapped, and tells nothing."""
    points = [(reading.time_s, float(v)) for reading in readings if (v := getattr(reading, counter)) is not None]
    grown = _growth(points, start_s, end_s)
    return None if grown is None or grown < 0 else round(grown)


def _growth(points: Sequence[tuple[float, float]], start_s: float, end_s: float) -> float | None:
    """Return how much a counter grew between two moments, ``None`` if under half of the time was watched."""
    if len(points) < 2:
        return None
    from_s, to_s = max(start_s, points[0][0]), min(end_s, points[-1][0])
    watched = to_s - from_s
    if watched <= 0 or watched < (end_s - start_s) / 2:
        return None
    return (_level(points, to_s) - _level(points, from_s)) * (end_s - start_s) / watched


def _level(points: Sequence[tuple[float, float]], at_s: float) -> float:
    """Return the counter at a moment, on a straight line between its neighbours."""
    after = min(max(1, bisect_left(points, at_s, key=lambda point: point[0])), len(points) - 1)
    (left_s, left), (right_s, right) = points[after - 1], points[after]
    if right_s == left_s:
        return right
    return left + (right - left) * (at_s - left_s) / (right_s - left_s)


def _mean_over(points: Sequence[tuple[float, float]], start_s: float, end_s: float) -> float | None:
    """Return the mean of values that each hold for the time since the previous one."""
    weighted = weight = 0.0
    for (before_s, _), (at_s, value) in pairwise([(float("-inf"), 0.0), *points]):
        begins_s = max(before_s, at_s - _LONGEST_PERIOD_S)
        overlap_s = min(at_s, end_s) - max(begins_s, start_s)
        if overlap_s > 0:
            weighted += value * overlap_s
            weight += overlap_s
    return weighted / weight if weight else None


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


def _largest(values: Iterable[int | None]) -> int | None:
    return max((value for value in values if value is not None), default=None)
