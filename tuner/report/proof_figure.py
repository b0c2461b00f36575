"""The proof: the ratio of each alternating pair, their mean with its interval, and the line of no gain."""

from __future__ import annotations

from gputune import proof as proofs
from gputune.numbers import plain_rate
from gputune.record import Proof
from gputune.report import svg

WIDTH, ROW = 480, 24
LEFT, RIGHT, TOP = 56, 20, 30


def ratios(proof: Proof) -> list[tuple[float, float, float]]:
    """Return user rate, candidate rate and their ratio for each pair."""
    found = []
    for pair in proof.pairs:
        user, candidate = proofs.user_and_candidate(pair)
        if user > 0 and candidate > 0:
            found.append((user, candidate, candidate / user))
    return found


def draw(proof: Proof) -> str:
    """Return the picture, or nothing without pairs."""
    found = ratios(proof)
    if not found:
        return ""
    height = TOP + ROW * (len(found) + 1) + 34
    values = [ratio for *_, ratio in found] + [1.0, proof.ratio, proof.high, proof.low]
    low, high = _range(values)

    def x(value: float) -> float:
        return LEFT + (min(max(value, low), high) - low) / (high - low) * (WIDTH - LEFT - RIGHT)

    bottom = TOP + ROW * (len(found) + 1)
    band = {
        "x": x(proof.low),
        "width": max(1.0, x(proof.high) - x(proof.low)),
        "y": TOP - 8.0,
        "height": bottom - TOP + 8.0,
    }
    parts = [svg.tag("rect", svg.title("95 % interval of the ratio"), class_="band", **band)]
    parts.append(svg.tag("line", x1=x(1), x2=x(1), y1=TOP - 8, y2=bottom, class_="ceiling"))
    parts.append(svg.text(x(1) + 5, 14, "no gain", class_="axis"))
    for row, (user, candidate, ratio) in enumerate(found):
        y = TOP + ROW * (row + 0.5)
        about = svg.title(f"pair {row + 1}: {plain_rate(user)} to {plain_rate(candidate)} samples/s, {ratio:.2f}x")
        parts.append(svg.text(0, y + 4, f"pair {row + 1}", class_="axis"))
        parts.append(svg.tag("line", x1=x(1), x2=x(ratio), y1=y, y2=y, class_="trend"))
        parts.append(svg.tag("g", about + svg.tag("circle", cx=x(ratio), cy=y, r=5.5, class_="trial")))
    parts += _mean(proof, x(proof.ratio), x(proof.low), x(proof.high), TOP + ROW * (len(found) + 0.5))
    parts += [
        svg.text(x(tick), bottom + 20, f"{tick:g}x", anchor="middle", class_="axis") for tick in _ticks(low, high)
    ]
    said = f"{len(found)} pairs; ratio {proof.ratio:.2f}, 95 % interval {proof.low:.2f} to {proof.high:.2f}"
    return svg.figure("proof", "Proposed against yours, pair by pair", said, WIDTH, height, parts)


def _mean(proof: Proof, middle: float, low: float, high: float, y: float) -> list[str]:
    diamond = f"M{svg.number(middle)} {svg.number(y - 8)}l8 8l-8 8l-8 -8z"
    about = svg.title(f"geometric mean {proof.ratio:.2f}x, 95 % interval {proof.low:.2f}-{proof.high:.2f}")
    return [
        svg.text(0, y + 4, "mean", class_="strong"),
        svg.tag("line", x1=low, x2=high, y1=y, y2=y, class_="whisker"),
        svg.tag("g", about + svg.tag("path", d=diamond, class_="proposed")),
    ]


def _range(values: list[float]) -> tuple[float, float]:
    finite = [value for value in values if value < 100]
    low, high = min(finite), max(finite)
    room = max(0.05, (high - low) * 0.08)
    return max(0.0, low - room), high + room


def _ticks(low: float, high: float) -> list[float]:
    step = svg.ticks(high - low, 4)[1]
    first = int(low / step) + 1
    return [round(index * step, 6) for index in range(first, int(high / step) + 1)]
