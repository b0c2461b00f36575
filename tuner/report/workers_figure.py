"""Throughput over the number of workers, with the ceiling and what each trial cost."""

from __future__ import annotations

import msgspec

from gputune import described, stats
from gputune.numbers import plain_rate, seconds
from gputune.probes.settings import Settings
from gputune.record import Run
from gputune.report import svg, tables
from gputune.timeline import measured

WIDTH, HEIGHT = 480, 300
LEFT, RIGHT, TOP, BOTTOM = 48, 14, 26, 58


class Point(msgspec.Struct, frozen=True):
    """One measured (or failed) set of settings."""

    workers: int
    samples_per_s: float | None
    kind: str
    """``user``, ``trial``, ``proposed`` or ``failed``; each has its own shape."""
    label: str
    cost_s: float
    predicted: float | None = None
    """What the search expected, samples/s."""


def points(run: Run) -> list[Point]:
    """Return what was measured, the user's settings first."""
    user = tables.user_settings(run) or Settings()
    chosen = run.recommendation.settings if run.recommendation else None
    found = []
    if measured(run.baseline):
        rate = stats.samples_per_s(run.baseline)
        cost_s = tables.cost_s(run.baseline)
        found.append(Point(run.baseline.settings.num_workers, rate, "user", "your settings", cost_s))
    for trial in run.trials:
        name = f"trial {trial.number}: {described.shown(trial.settings, user)}"
        if measured(trial.burst):
            kind = "proposed" if trial.settings == chosen else "trial"
            cost_s, rate = tables.cost_s(trial.burst), stats.samples_per_s(trial.burst)
            expected = trial.predicted_samples_per_s
            found.append(Point(trial.settings.num_workers, rate, kind, name, cost_s, expected))
        elif trial.infeasible:
            label, cost_s = f"{name}: {trial.infeasible.reason}", trial.infeasible.cost_s
            found.append(Point(trial.settings.num_workers, None, "failed", label, cost_s))
    return found


def draw(run: Run) -> str:
    """Return the picture, or nothing when no two sets of settings were tried."""
    found = points(run)
    if len(found) < 2 or not any(point.samples_per_s for point in found):
        return ""
    ceiling = stats.samples_per_s(run.ceiling) if measured(run.ceiling) else None
    top = 1.12 * max([max(p.samples_per_s or 0.0, p.predicted or 0.0) for p in found] + [ceiling or 0.0])
    counts = sorted({point.workers for point in found})
    columns = {n: LEFT + (i + 0.5) * (WIDTH - LEFT - RIGHT) / len(counts) for i, n in enumerate(counts)}
    parts = _axes(top, columns, found) + _ceiling(ceiling, top) + _best_line(found, columns, top)
    parts += [_predicted(point, columns[point.workers], top) for point in found if point.predicted]
    # The proposed settings are drawn last so that nothing covers them.
    parts += [_mark(point, columns[point.workers], top) for point in sorted(found, key=_layer)]
    said = "; ".join(f"{p.label} {plain_rate(p.samples_per_s) if p.samples_per_s else 'failed'}" for p in found)
    return svg.figure("workers", "Samples per second over number of workers", said, WIDTH, HEIGHT, parts)


def _layer(point: Point) -> int:
    return ("failed", "trial", "user", "proposed").index(point.kind)


def _y(value: float, top: float) -> float:
    return HEIGHT - BOTTOM - value / top * (HEIGHT - TOP - BOTTOM)


def _axes(top: float, columns: dict[int, float], found: list[Point]) -> list[str]:
    parts = [svg.text(0, 12, "samples/s", class_="axis")]
    for tick in svg.ticks(top):
        y = _y(tick, top)
        parts.append(svg.tag("line", x1=LEFT, x2=WIDTH - RIGHT, y1=y, y2=y, class_="grid"))
        parts.append(svg.text(LEFT - 6, y + 4, f"{tick:g}", anchor="end", class_="axis"))
    base = HEIGHT - BOTTOM
    parts += [svg.text(0, base + 18, "workers", class_="axis"), svg.text(0, base + 36, "cost", class_="axis")]
    for count, x in columns.items():
        cost_s = sum(point.cost_s for point in found if point.workers == count)
        parts.append(svg.text(x, base + 18, str(count), anchor="middle", class_="strong"))
        parts.append(svg.text(x, base + 36, seconds(cost_s), anchor="middle", class_="axis"))
    return parts


def _ceiling(ceiling: float | None, top: float) -> list[str]:
    if ceiling is None:
        return []
    y = _y(ceiling, top)
    line = svg.tag("line", x1=LEFT, x2=WIDTH - RIGHT, y1=y, y2=y, class_="ceiling")
    label = f"ceiling {plain_rate(ceiling)}: data is free"
    return [line, svg.text(WIDTH - RIGHT, y - 6, label, anchor="end", class_="axis")]


def _best_line(found: list[Point], columns: dict[int, float], top: float) -> list[str]:
    best: dict[int, float] = {}
    for point in found:
        if point.samples_per_s is not None:
            best[point.workers] = max(best.get(point.workers, 0.0), point.samples_per_s)
    path = " ".join(f"{svg.number(columns[n])},{svg.number(_y(best[n], top))}" for n in sorted(best))
    return [svg.tag("polyline", points=path, class_="trend")]


def _predicted(point: Point, x: float, top: float) -> str:
    y = _y(point.predicted or 0.0, top)
    about = svg.title(f"{point.label}: predicted {plain_rate(point.predicted or 0.0)} samples/s")
    return svg.tag("g", about + svg.tag("line", x1=x - 13, x2=x + 13, y1=y, y2=y, class_="predicted"))


def _mark(point: Point, x: float, top: float) -> str:
    if point.samples_per_s is None:
        y = HEIGHT - BOTTOM - 12.0
        cross = f"M{svg.number(x - 6)} {y - 6}l12 12m0 -12l-12 12"
        return svg.tag("g", svg.title(f"{point.label} (failed)") + svg.tag("path", d=cross, class_="failed"))
    y = _y(point.samples_per_s, top)
    about = svg.title(f"{point.label}: {plain_rate(point.samples_per_s)} samples/s, cost {seconds(point.cost_s)}")
    if point.kind == "user":
        return svg.tag("g", about + svg.tag("rect", x=x - 6, y=y - 6, width=12, height=12, class_="user"))
    if point.kind == "proposed":
        diamond = f"M{svg.number(x)} {svg.number(y - 9)}l9 9l-9 9l-9 -9z"
        return svg.tag("g", about + svg.tag("path", d=diamond, class_="proposed"))
    return svg.tag("g", about + svg.tag("circle", cx=x, cy=y, r=5, class_="trial"))
