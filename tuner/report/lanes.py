"""What a burst did, as lanes over one time axis: boxes (steps, waits, events, workers) and levels (GPU, CPU, queue).

Pure. The number of boxes is bounded: where a burst has more steps, neighbours are drawn as one, and say so.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from gputune.numbers import cores as cores_text
from gputune.numbers import seconds
from gputune.probes.burst import Burst, StallKind, WorkerBatch
from gputune.probes.series import Series
from gputune.timeline import Step, steps

MAX_STEPS = 120
MAX_WORKERS = 12
"""Lanes beyond are left out and counted: the page stays small."""
MAX_WORKER_BOXES = 300
"""Boxes of all workers together."""


class Box(msgspec.Struct, frozen=True):
    """Something that lasted."""

    start_s: float
    duration_s: float
    kind: str
    """CSS class: its colour."""
    about: str

    @property
    def end_s(self) -> float:
        """When it ended."""
        return self.start_s + self.duration_s


class Level(msgspec.Struct, frozen=True):
    """A value that held for a while; ``None``: not read."""

    start_s: float
    end_s: float
    value: float | None
    about: str


class Lane(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the timeline: boxes, or levels between 0 and ``top``."""

    name: str
    boxes: list[Box] = []
    levels: list[Level] = []
    kind: str = ""
    """CSS class of the levels."""
    top: float = 1.0


class Timeline(msgspec.Struct, frozen=True, kw_only=True):
    """The lanes of one burst between two moments."""

    start_s: float
    end_s: float
    lanes: list[Lane]
    steps: int
    """How many steps it shows."""
    merged: int
    """How many steps one box of the training thread stands for."""


def of(burst: Burst) -> Timeline | None:
    """Return the timeline of a burst's measured steps, or nothing without any."""
    measured = steps(burst)
    if not measured or measured[-1].end_s <= measured[0].start_s:
        return None
    start_s, end_s = measured[0].start_s, measured[-1].end_s
    merged = -(-len(measured) // MAX_STEPS)
    lanes = [Lane(name="training thread", boxes=_main(measured, merged))]
    events = [
        Box(s.start_s, s.duration_s, f"line-{s.kind.value}", f"{_name(s.kind, s.detail)} {seconds(s.duration_s)}")
        for s in burst.stalls
        if s.start_s + s.duration_s > start_s and s.start_s < end_s
    ]
    if events:
        lanes.append(Lane(name="events", boxes=events))
    lanes += _ready(burst, measured)
    lanes += _machine(burst.series) if burst.series else []
    lanes += _workers(burst, start_s, end_s)
    return Timeline(start_s=start_s, end_s=end_s, lanes=lanes, steps=len(measured), merged=merged)


def _name(kind: StallKind, detail: str) -> str:
    return f"{kind.value} ({detail})" if detail else kind.value


def _main(measured: list[Step], merged: int) -> list[Box]:
    """Return compute and wait of each step; merged steps keep their totals, computing first."""
    boxes: list[Box] = []
    for first in range(0, len(measured), merged):
        group = measured[first : first + merged]
        busy_s = sum(step.wait_from_s - step.start_s for step in group)
        wait_s = sum(step.end_s - step.wait_from_s for step in group)
        many = f"steps {first + 1} to {first + len(group)}" if len(group) > 1 else f"step {first + 1}"
        boxes.append(Box(group[0].start_s, busy_s, "line-compute", f"{many}: {seconds(busy_s)}"))
        boxes.append(Box(group[-1].end_s - wait_s, wait_s, "line-wait", f"waits {seconds(wait_s)} ({many})"))
    return boxes


def _ready(burst: Burst, measured: list[Step]) -> list[Lane]:
    """Return how many batches lay ready before each wait; equal neighbours are one level."""
    levels: list[Level] = []
    for step, count in zip(measured, burst.ready, strict=False):
        if count < 0:
            continue
        if levels and levels[-1].value == count and levels[-1].end_s >= step.start_s - 1e-9:
            levels[-1] = msgspec.structs.replace(levels[-1], end_s=step.end_s)
        else:
            levels.append(Level(step.start_s, step.end_s, float(count), f"{count} ready"))
    if not levels or not burst.settings.num_workers:
        return []
    return [Lane(name="batches ready", levels=levels[-2 * MAX_STEPS :], kind="ready", top=_top(levels))]


def _machine(series: Series) -> list[Lane]:
    """Return GPU, the script's CPU and each core's use."""
    starts = [series.start_s, *series.t_s[:-1]]

    def levels(values: Sequence[float | None], unit: str) -> list[Level]:
        moments = zip(starts, series.t_s, values, strict=True)
        return [Level(a, b, v, "not read" if v is None else f"{_short(v)}{unit}") for a, b, v in moments]

    lanes = []
    if any(value is not None for value in series.gpu_utilization):
        lanes.append(Lane(name="GPU busy", levels=levels(series.gpu_utilization, " %"), kind="gpu", top=100.0))
    if any(value is not None for value in series.cpu_cores):
        used = levels(series.cpu_cores, " cores")
        top = max(_top(used), float(len(series.cores) * series.cores_a_row))
        lanes.append(Lane(name="script's CPU", levels=used, kind="cpu", top=top))
    for first, row in zip(series.cores, series.core_busy, strict=True):
        width = series.cores_a_row
        name = f"core {first}" if width == 1 else f"{width} cores from {first}"
        lanes.append(Lane(name=name, levels=levels(row, " % busy"), kind="core", top=100.0))
    return lanes


def _short(value: float) -> str:
    return cores_text(value) if value < 10 else f"{value:.0f}"


def _top(levels: list[Level]) -> float:
    return max([level.value or 0.0 for level in levels] + [1.0])


def _workers(burst: Burst, start_s: float, end_s: float) -> list[Lane]:
    found: dict[int, list[WorkerBatch]] = {}
    for batch in burst.workers:
        if batch.start_s + batch.fetch_s + batch.collate_s > start_s and batch.start_s < end_s:
            found.setdefault(batch.worker, []).append(batch)
    shown = sorted(found)[:MAX_WORKERS]
    merged = max(1, -(-2 * sum(len(found[lane]) for lane in shown) // MAX_WORKER_BOXES))
    named = [
        Lane(name=f"worker {lane}" if burst.settings.num_workers else "loading", boxes=_batches(found[lane], merged))
        for lane in shown
    ]
    left_out = len(found) - len(shown)
    if left_out:
        named[-1] = msgspec.structs.replace(named[-1], name=f"{named[-1].name} (+{left_out})")
    return named


def _batches(batches: list[WorkerBatch], merged: int) -> list[Box]:
    boxes: list[Box] = []
    for first in range(0, len(batches), merged):
        group = batches[first : first + merged]
        fetch_s, collate_s = sum(batch.fetch_s for batch in group), sum(batch.collate_s for batch in group)
        cpu = f"{seconds(sum(batch.cpu_s for batch in group))} of CPU"
        many = f"{len(group)} batches: " if len(group) > 1 else ""
        boxes.append(Box(group[0].start_s, fetch_s, "fetch", f"{many}fetch {seconds(fetch_s)}, {cpu}"))
        boxes.append(Box(group[0].start_s + fetch_s, collate_s, "collate", f"{many}collate {seconds(collate_s)}"))
    return boxes
