"""How long the making of a batch takes: distribution, mean, tail, and what would be fast enough."""

from __future__ import annotations

from statistics import fmean

from gputune import stats
from gputune.numbers import percent, seconds
from gputune.probes.burst import Burst
from gputune.record import Run
from gputune.report import svg
from gputune.timeline import measured

WIDTH, HEIGHT = 480, 300
LEFT, RIGHT, TOP, BOTTOM = 40, 14, 46, 44
BINS = 24


def draw(run: Run) -> str:
    """Return the picture of the baseline's service times, or nothing when none were stamped."""
    base = run.baseline
    times = [batch.fetch_s + batch.collate_s for batch in base.workers] if base else []
    if base is None or len(times) < 2 or max(times) <= 0:
        return ""
    enough_s = fast_enough_s(run, base)
    top_s = max(times) * 1.05
    if enough_s is not None and enough_s < 2 * top_s:
        top_s = max(top_s, enough_s * 1.15)
    counts = [0] * BINS
    for time_s in times:
        counts[min(BINS - 1, int(time_s / top_s * BINS))] += 1
    parts = _axes(max(counts), top_s) + _bars(counts, top_s)
    tail_s = sorted(times)[min(len(times) - 1, int(0.95 * len(times)))]
    parts += _line(fmean(times), top_s, f"mean {seconds(fmean(times))}", 0, "mark")
    parts += _line(tail_s, top_s, f"95 % below {seconds(tail_s)}", 1, "mark")
    if enough_s is not None and enough_s <= top_s:
        parts += _line(enough_s, top_s, f"fast enough: {seconds(enough_s)}", 2, "ceiling")
    return svg.figure("service", "Time to make one batch", describe(run), WIDTH, HEIGHT, parts)


def fast_enough_s(run: Run, base: Burst) -> float | None:
    """Return the service time at which the user's number of workers would just reach the ceiling."""
    if not measured(run.ceiling) or not base.settings.num_workers:
        return None
    return base.settings.num_workers * fmean(run.ceiling.period_s)


def describe(run: Run) -> str:
    """Return the figure in words."""
    base = run.baseline
    service_s, share = (stats.service_s(base), stats.cpu_share(base)) if base else (None, None)
    if base is None or service_s is None:
        return "No batch was timed."
    cpu = "" if share is None else f", {percent(share)} of it CPU work"
    enough_s = fast_enough_s(run, base)
    enough = "" if enough_s is None else f"; {seconds(enough_s)} would be fast enough with these workers"
    return f"{len(base.workers)} batches, {seconds(service_s)} on average{cpu}{enough}."


def _x(time_s: float, top_s: float) -> float:
    return LEFT + time_s / top_s * (WIDTH - LEFT - RIGHT)


def _axes(most: int, top_s: float) -> list[str]:
    base, parts = HEIGHT - BOTTOM, [svg.text(0, TOP - 8, "batches", class_="axis")]
    for tick in svg.ticks(most):
        if tick == int(tick):
            y = base - tick / (most * 1.08) * (base - TOP)
            parts.append(svg.tag("line", x1=LEFT, x2=WIDTH - RIGHT, y1=y, y2=y, class_="grid"))
            parts.append(svg.text(LEFT - 6, y + 4, f"{tick:g}", anchor="end", class_="axis"))
    times = svg.ticks(top_s, 5)
    parts += [svg.text(_x(t, top_s), base + 18, seconds(t), anchor="middle", class_="axis") for t in times]
    parts.append(svg.text(WIDTH - RIGHT, base + 38, "time to make one batch", anchor="end", class_="axis"))
    return parts


def _bars(counts: list[int], top_s: float) -> list[str]:
    base, most, parts = HEIGHT - BOTTOM, max(counts), []
    width = (WIDTH - LEFT - RIGHT) / BINS
    for index, count in enumerate(counts):
        if count:
            height = count / (most * 1.08) * (base - TOP)
            low, high = index * top_s / BINS, (index + 1) * top_s / BINS
            about = svg.title(f"{count} batches took {seconds(low)} to {seconds(high)}")
            box = {"x": LEFT + index * width + 0.5, "y": base - height, "width": width - 1, "height": height}
            parts.append(svg.tag("rect", about, class_="fetch", **box))
    return parts


def _line(time_s: float, top_s: float, label: str, row: int, class_: str) -> list[str]:
    x, y = _x(time_s, top_s), 12 + 15 * row
    line = svg.tag("line", x1=x, x2=x, y1=y + 4, y2=HEIGHT - BOTTOM, class_=class_)
    right = x < WIDTH * 0.55
    return [
        line,
        svg.text(x + (6 if right else -6), y + 4, label, anchor="start" if right else "end", class_="axis"),
    ]
