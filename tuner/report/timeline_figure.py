"""A burst on one time axis: steps, waits, events, what lay ready, GPU, each core, each worker.

Drawn as SVG, complete without script. The page's script adds zoom, and a cursor (pointer or arrow keys) that reads
every lane at one moment from the numbers that :func:`numbers` gives.
"""

from __future__ import annotations

from html import escape
from typing import Any

from gputune.numbers import seconds
from gputune.probes.burst import Burst
from gputune.report import lanes as lane_maker
from gputune.report import svg
from gputune.report.lanes import Lane, Timeline

WIDTH = 10_000
"""Units of the time axis: fine enough for integers at every zoom."""
LANE, CORE, GAP = 20, 13, 5
LEAST_EVENT = 14
"""Units that an event is wide at least, so that a short checkpoint is seen."""


def draw(identity: str, name: str, burst: Burst) -> str:
    """Return labels and picture of a burst, as HTML; nothing when it holds no step."""
    made = lane_maker.of(burst)
    if made is None:
        return ""
    parts, labels, y = [], [], 0
    for lane in made.lanes:
        height = CORE if lane.kind == "core" else LANE
        parts.append(_levels(lane, made, y, height) if lane.levels else _boxes(lane, made, y, height))
        labels.append(f'<span style="height:{height + GAP}px">{escape(lane.name)}</span>')
        y += height + GAP
    names = ", ".join(lane.name for lane in made.lanes)
    said = f"{made.steps} steps over {seconds(made.end_s - made.start_s)}: {names}"
    drawn = svg.figure(identity, f"Timeline, {name}", said, WIDTH, y, parts)
    drawn = drawn.replace("<svg ", f'<svg preserveAspectRatio="none" style="height:{y}px" ', 1)
    about = f"Timeline, {escape(name)}: arrow keys move the cursor, plus and minus zoom"
    return (
        f'<div class="lanes" data-lanes="{identity}">'
        f'<div class="lane-names" aria-hidden="true">{"".join(labels)}</div>'
        f'<div class="lane-scroll" tabindex="0" role="group" aria-label="{about}">'
        f'<div class="lane-area">{drawn}<div class="cursor" hidden></div>{_axis(made.end_s - made.start_s)}</div></div>'
        f'<output class="reading" aria-live="polite">{_how_much(made)}</output></div>'
    )


def _how_much(made: Timeline) -> str:
    merged = f"; one box stands for {made.merged} steps" if made.merged > 1 else ""
    return f"{made.steps} steps in {seconds(made.end_s - made.start_s)}{merged}."


def numbers(identity: str, burst: Burst) -> dict[str, Any]:
    """Return what the cursor reads: for each lane ``[start, end, text]``, times in seconds from the left edge."""
    made = lane_maker.of(burst)
    if made is None:
        return {}
    rows = []
    for lane in made.lanes:
        spans = [(box.start_s, box.end_s, box.about) for box in lane.boxes]
        spans += [(level.start_s, level.end_s, level.about) for level in lane.levels]
        shown = [
            [round(start - made.start_s, 4), round(end - made.start_s, 4), about]
            for start, end, about in spans
            if end > made.start_s and start < made.end_s
        ]
        rows.append({"name": lane.name, "spans": shown})
    return {identity: {"length_s": round(made.end_s - made.start_s, 4), "lanes": rows}}


def _x(at_s: float, made: Timeline) -> int:
    return round(min(1.0, max(0.0, (at_s - made.start_s) / (made.end_s - made.start_s))) * WIDTH)


def _boxes(lane: Lane, made: Timeline, y: int, height: int) -> str:
    """Return one path a kind: boxes of one colour need no element each."""
    paths: dict[str, list[str]] = {}
    marks: list[str] = []
    for box in lane.boxes:
        left, right = _x(box.start_s, made), _x(box.end_s, made)
        if lane.name == "events":
            right = min(WIDTH, max(right, left + LEAST_EVENT))
        if right > left:
            paths.setdefault(box.kind, []).append(f"M{left} {y}h{right - left}v{height}h-{right - left}z")
            if box.kind == "line-wait":  # a line across tells waiting from computing without colour
                marks.append(f"M{left} {y + height // 2 - 1}h{right - left}v2h-{right - left}z")
    drawn = "".join(svg.tag("path", d="".join(parts), class_=kind) for kind, parts in paths.items())
    return drawn + (svg.tag("path", d="".join(marks), class_="wait-mark") if marks else "")


def _levels(lane: Lane, made: Timeline, y: int, height: int) -> str:
    """Return the area under the levels on a faint ground, so that nothing and not read look different."""
    base, parts, ground = y + height, [], []
    for level in lane.levels:
        left, right = _x(level.start_s, made), _x(level.end_s, made)
        if level.value is None or right <= left:
            continue
        ground.append(f"M{left} {y}h{right - left}v{height}h-{right - left}z")
        rise = min(1.0, max(0.0, level.value / lane.top)) * height
        if rise > 0:
            up = svg.number(rise)
            parts.append(f"M{left} {base}v-{up}h{right - left}v{up}z")
    drawn = svg.tag("path", d="".join(ground), class_="ground") if ground else ""
    return drawn + (svg.tag("path", d="".join(parts), class_=f"level-{lane.kind}") if parts else "")


def _axis(length_s: float) -> str:
    marks = [
        f'<span style="left:{tick / length_s * 100:.2f}%">{seconds(tick)}</span>'
        for tick in svg.ticks(length_s, 5)
        if tick / length_s < 0.96
    ]
    return f'<div class="time-axis" aria-hidden="true">{"".join(marks)}</div>'
