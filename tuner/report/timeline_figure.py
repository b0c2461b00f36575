"""The end of a burst on one time axis: steps, waits, events, what lay ready, each worker. Zooms by script."""

from __future__ import annotations

from html import escape

from gputune.numbers import seconds
from gputune.probes.burst import Burst
from gputune.report import svg
from gputune.timeline import Step, steps

WIDTH, LANE, GAP = 1000, 20, 5
MAX_STEPS = 24
MAX_WORKERS = 12
"""Lanes beyond are left out and counted: the page stays small."""
Box = tuple[float, float, str, str]
"""Start, duration, class and tooltip of one box in a lane."""


def draw(identity: str, name: str, burst: Burst) -> str:
    """Return labels and picture of the last steps of a burst, as HTML."""
    numbered = list(enumerate(steps(burst)))[-MAX_STEPS:]
    start_s, end_s = (numbered[0][1].start_s, numbered[-1][1].end_s) if numbered else (0.0, 0.0)
    if end_s <= start_s:
        return ""
    lanes = [("training thread", _main(numbered))]
    events = [
        (s.start_s, s.duration_s, f"line-{s.kind.value}", f"{s.kind.value} {seconds(s.duration_s)}")
        for s in burst.stalls
    ]
    if events := [event for event in events if event[0] + event[1] > start_s]:
        lanes.append(("events", events))
    if burst.settings.num_workers and any(
        burst.ready[number] >= 0 for number, _ in numbered if number < len(burst.ready)
    ):
        lanes.append(("batches ready", _ready(burst, numbered)))
    lanes += _workers(burst, start_s, end_s)
    parts = [_box(box, row, start_s, end_s) for row, (_, boxes) in enumerate(lanes) for box in boxes if box[0] < end_s]
    height = len(lanes) * (LANE + GAP)
    said = f"{len(numbered)} steps over {seconds(end_s - start_s)}: " + ", ".join(label for label, _ in lanes)
    drawn = svg.figure(identity, f"Timeline, {name}", said, WIDTH, height, parts)
    drawn = drawn.replace("<svg ", '<svg preserveAspectRatio="none" ', 1)
    labels = "".join(f"<span>{escape(label)}</span>" for label, _ in lanes)
    about = f"Timeline, {escape(name)}, scrolls sideways"
    return (
        f'<div class="lanes" style="--lanes:{len(lanes)}">'
        f'<div class="lane-names" aria-hidden="true">{labels}</div>'
        f'<div class="lane-scroll" tabindex="0" role="group" aria-label="{about}">'
        f'<div class="lane-area">{drawn}{_axis(end_s - start_s)}</div></div></div>'
    )


def _main(numbered: list[tuple[int, Step]]) -> list[Box]:
    boxes: list[Box] = []
    for number, step in numbered:
        busy_s, wait_s = step.wait_from_s - step.start_s, step.end_s - step.wait_from_s
        boxes.append((step.start_s, busy_s, "line-compute", f"step {number}: {seconds(busy_s)}"))
        boxes.append((step.wait_from_s, wait_s, "line-wait", f"waits for batch {number + 1}: {seconds(wait_s)}"))
    return boxes


def _ready(burst: Burst, numbered: list[tuple[int, Step]]) -> list[Box]:
    boxes: list[Box] = []
    for number, step in numbered:
        count = burst.ready[number] if number < len(burst.ready) else -1
        if count >= 0:
            level = f"ready ready-{min(4, count)}"
            boxes.append((step.start_s, step.end_s - step.start_s, level, f"{count} ready before batch {number + 1}"))
    return boxes


def _workers(burst: Burst, start_s: float, end_s: float) -> list[tuple[str, list[Box]]]:
    lanes: dict[int, list[Box]] = {}
    for batch in burst.workers:
        if batch.start_s + batch.fetch_s + batch.collate_s > start_s and batch.start_s < end_s:
            about = f"fetch {seconds(batch.fetch_s)}, {seconds(batch.cpu_s)} of CPU"
            boxes = lanes.setdefault(batch.worker, [])
            boxes.append((batch.start_s, batch.fetch_s, "fetch", about))
            boxes.append(
                (
                    batch.start_s + batch.fetch_s,
                    batch.collate_s,
                    "collate",
                    f"collate {seconds(batch.collate_s)}",
                )
            )
    shown = sorted(lanes)[:MAX_WORKERS]
    named = [(f"worker {lane}" if burst.settings.num_workers else "loading", lanes[lane]) for lane in shown]
    left_out = len(lanes) - len(shown)
    return named if not left_out else [*named[:-1], (f"{named[-1][0]} (+{left_out})", named[-1][1])]


def _box(box: Box, row: int, start_s: float, end_s: float) -> str:
    scale = WIDTH / (end_s - start_s)
    left, right = max(0.0, (box[0] - start_s) * scale), min(float(WIDTH), (box[0] + box[1] - start_s) * scale)
    if right <= 0 or left >= WIDTH:
        return ""
    width = max(0.3, right - left - 0.3)
    rect = svg.tag("rect", svg.title(box[3]), x=left, y=row * (LANE + GAP), width=width, height=LANE, class_=box[2])
    if box[2] != "line-wait":
        return rect
    # A line across tells waiting from computing without colour.
    return rect + svg.tag(
        "rect", x=left, y=row * (LANE + GAP) + LANE / 2 - 1, width=width, height=2, class_="wait-mark"
    )


def _axis(length_s: float) -> str:
    marks = [
        f'<span style="left:{tick / length_s * 100:.2f}%">{seconds(tick)}</span>'
        for tick in svg.ticks(length_s, 5)
        if tick / length_s < 0.96
    ]
    return f'<div class="time-axis" aria-hidden="true">{"".join(marks)}</div>'
