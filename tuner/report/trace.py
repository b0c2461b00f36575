"""The bursts as a Chrome trace (gzip), for ui.perfetto.dev and chrome://tracing.

Times of workers and stalls are stamped; where the steps lay is reconstructed from their lengths and the end
of the burst, and marked so.
"""

from __future__ import annotations

import gzip
from typing import Any

import msgspec

from gputune.probes.burst import Burst
from gputune.record import Run
from gputune.timeline import steps

MAIN_THREAD = 1
STALLS = 2
FIRST_WORKER = 10
"""Thread numbers of the trace; they order the lanes."""
Event = dict[str, Any]


def render(run: Run) -> bytes:
    """Return the trace of every burst, one process each, as gzip-compressed trace event JSON."""
    bursts = named_bursts(run)
    # Batches that lay ready when a burst began were fetched before it.
    origin_s = min((at_s for _, burst in bursts for at_s in _starts(burst)), default=0.0)
    events = [event for pid, (name, burst) in enumerate(bursts, 1) for event in _burst(pid, name, burst, origin_s)]
    document = {
        "traceEvents": events,
        "displayTimeUnit": "ms",
        "otherData": {"run": run.id, "tool": f"gputune {run.tool_version}", "command": " ".join(run.command)},
    }
    return gzip.compress(msgspec.json.encode(document), compresslevel=5, mtime=0)


def _starts(burst: Burst) -> list[float]:
    return [burst.start_s, *(batch.start_s for batch in burst.workers), *(stall.start_s for stall in burst.stalls)]


def named_bursts(run: Run) -> list[tuple[str, Burst]]:
    """Return every burst of a run with what it was for."""
    found = [("baseline", run.baseline), ("ceiling (cached batches)", run.ceiling)]
    found += [(f"trial {trial.number}", trial.burst) for trial in run.trials]
    for number, pair in enumerate(run.proof.pairs if run.proof else [], 1):
        found += [(f"proof {number} yours", pair.user), (f"proof {number} proposed", pair.candidate)]
    return [(name, burst) for name, burst in found if burst is not None]


def _burst(pid: int, name: str, burst: Burst, origin_s: float) -> list[Event]:
    lanes = sorted({batch.worker for batch in burst.workers})
    events = [_name(pid, 0, "process_name", f"{name}: {burst.settings}")]
    events.append({"ph": "M", "pid": pid, "tid": 0, "name": "process_sort_index", "args": {"sort_index": pid}})
    events.append(_name(pid, MAIN_THREAD, "thread_name", "training thread"))
    events.append(_name(pid, STALLS, "thread_name", "events on the training thread"))
    main_loads = burst.settings.num_workers == 0
    for lane in lanes:
        title = "loading on the training thread" if main_loads else f"worker {lane}"
        events.append(_name(pid, FIRST_WORKER + lane, "thread_name", title))
    return events + _main(pid, burst, origin_s) + _workers(pid, burst, origin_s) + _counters(pid, burst, origin_s)


def _name(pid: int, tid: int, kind: str, text: str) -> Event:
    return {"ph": "M", "pid": pid, "tid": tid, "name": kind, "args": {"name": text}}


def _slice(pid: int, tid: int, name: str, start_s: float, duration_s: float, **arguments: Any) -> Event:
    """Return a complete event; the format counts in microseconds."""
    return {
        "ph": "X", "pid": pid, "tid": tid, "name": name, "cat": "gputune", "ts": round(start_s * 1e6, 3),
        "dur": round(max(0.0, duration_s) * 1e6, 3), "args": arguments,
    }  # fmt: skip


def _main(pid: int, burst: Burst, origin_s: float) -> list[Event]:
    events = []
    for number, step in enumerate(steps(burst)):
        how = {"batch": number, "samples": step.samples, "position": "reconstructed"}
        busy_s = step.wait_from_s - step.start_s
        events.append(_slice(pid, MAIN_THREAD, "step", step.start_s - origin_s, busy_s, **how))
        wait_s = step.end_s - step.wait_from_s
        events.append(_slice(pid, MAIN_THREAD, "data wait", step.wait_from_s - origin_s, wait_s, **how))
    for stall in burst.stalls:
        start_s = stall.start_s - origin_s
        events.append(_slice(pid, STALLS, stall.kind.value, start_s, stall.duration_s, batch=stall.batch))
    return events


def _workers(pid: int, burst: Burst, origin_s: float) -> list[Event]:
    events = []
    for batch in burst.workers:
        tid, start_s = FIRST_WORKER + batch.worker, batch.start_s - origin_s
        if batch.idle_s > 0 and batch.start_s - batch.idle_s >= burst.start_s:
            events.append(_slice(pid, tid, "idle", start_s - batch.idle_s, batch.idle_s))
        events.append(_slice(pid, tid, "fetch", start_s, batch.fetch_s, cpu_s=batch.cpu_s))
        events.append(_slice(pid, tid, "collate", start_s + batch.fetch_s, batch.collate_s))
    return events


def _counters(pid: int, burst: Burst, origin_s: float) -> list[Event]:
    """Return GPU, CPU and memory over time; a burst without samples has their means from its start to its end."""
    series, gpu, host = burst.series, burst.gpu, burst.host
    held: dict[str, list[tuple[float, float | None]]] = {"GPU power, mean (W)": _mean(burst, gpu.power_w)}
    if series is None or not series.t_s:
        held["GPU utilisation, mean (%)"] = _mean(burst, gpu.utilization)
        held["CPU cores busy, mean"] = _mean(burst, host.cpu_cores)
    else:
        # A counter holds from its stamp on; a sample is about the time that ends with it.
        starts = [series.start_s, *series.t_s[:-1]]
        held["GPU utilisation (%)"] = list(zip(starts, series.gpu_utilization, strict=True))
        held["CPU cores busy"] = list(zip(starts, series.cpu_cores, strict=True))
        for core, row in zip(series.cores, series.core_busy, strict=True):
            held[f"core {core} (%)"] = list(zip(starts, row, strict=True))
        held["memory (MiB)"] = [
            (at_s, None if size is None else size / 2**20) for at_s, size in zip(starts, series.rss_bytes, strict=True)
        ]
    depth: list[tuple[float, float | None]]
    depth = [(step.end_s, float(ready)) for step, ready in zip(steps(burst), burst.ready, strict=False) if ready >= 0]
    held["batches ready"] = depth
    return [
        {"ph": "C", "pid": pid, "tid": 0, "name": name, "ts": _microseconds(at_s - origin_s), "args": {"value": value}}
        for name, points in held.items()
        for at_s, value in points
        if value is not None
    ]


def _mean(burst: Burst, value: float | None) -> list[tuple[float, float | None]]:
    return [] if value is None else [(burst.start_s, value), (burst.end_s, 0.0)]


def _microseconds(at_s: float) -> float:
    """Return a moment in the unit of the format; nothing lies before the first burst."""
    return round(max(0.0, at_s) * 1e6, 3)
