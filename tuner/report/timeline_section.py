"""The timelines of the page: the user's settings and the proposed ones, under one key, with the same zoom."""

from __future__ import annotations

from typing import Any

from gputune.probes.burst import Burst
from gputune.record import Run
from gputune.report import lanes, markup, tables, timeline_figure
from gputune.timeline import measured

_NOTE = (
    "The measured steps of one burst. Point anywhere, or focus the picture and use the arrow keys, to read every lane "
    "at that moment; plus and minus (or Ctrl and the wheel) zoom. Worker times and events are stamped, steps are laid "
    "end to end, GPU and CPU are sampled."
)


def shown(run: Run) -> list[tuple[str, str, Burst]]:
    """Return identity, name and burst of each timeline."""
    bursts = [("yours", run.baseline), ("proposed", tables.after_burst(run))]
    return [(f"timeline-{name}", name, burst) for name, burst in bursts if measured(burst)]


def render(run: Run) -> str:
    """Return the section, or nothing when no burst was measured."""
    drawn = [(name, burst, timeline_figure.draw(identity, name, burst)) for identity, name, burst in shown(run)]
    drawn = [entry for entry in drawn if entry[2]]
    if not drawn:
        return ""
    buttons = '<span class="on-screen"><button type="button" data-zoom="2">Zoom in</button> '
    buttons += '<button type="button" data-zoom="0.5">Zoom out</button></span>'
    pictures = "".join(f"<h3>{name}{_utilization(burst)}</h3>{picture}" for name, burst, picture in drawn)
    body = f'<div class="row">{_key([burst for _, burst, _ in drawn])}{buttons}</div>'
    return markup.section(
        "timeline", "Timeline", f'{body}<div id="timelines">{pictures}</div>', _NOTE + _unread(drawn[0][1])
    )


def moments(run: Run) -> dict[str, Any]:
    """Return what the cursor reads, by timeline."""
    found: dict[str, Any] = {}
    for identity, _, burst in shown(run):
        found |= timeline_figure.numbers(identity, burst)
    return found


def _key(bursts: list[Burst]) -> str:
    made = [lane for burst in bursts if (line := lanes.of(burst)) for lane in line.lanes]
    kinds = [("line-compute", "step"), ("line-wait", "data wait (struck through)")]
    kinds += [("fetch", "fetch"), ("collate", "collate")]
    met = {box.kind for lane in made if lane.name == "events" for box in lane.boxes}
    kinds += [(kind, kind.removeprefix("line-")) for kind in sorted(met)]
    levels = {lane.kind for lane in made if lane.levels}
    names = {"ready": "batches ready", "gpu": "GPU busy", "cpu": "script's CPU", "core": "a core, all programs"}
    kinds += [(f"level-{kind}", text) for kind, text in names.items() if kind in levels]
    items = "".join(f'<li><span class="swatch {name}"></span>{text}</li>' for name, text in kinds)
    return f'<ul class="key">{items}</ul>'


def _unread(burst: Burst) -> str:
    """Return a sentence about what no lane shows."""
    if burst.series is None or not burst.series.t_s:
        return " This run holds no samples of GPU and CPU over time."
    return "" if any(v is not None for v in burst.series.gpu_utilization) else " No GPU was read."


def _utilization(burst: Burst) -> str:
    used = burst.gpu.utilization
    return "" if used is None else f' <span class="quiet">GPU busy {used:.0f} % of the burst on average</span>'
