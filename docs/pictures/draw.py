"""Draws the pictures of docs/how-it-works.md: python docs/pictures/draw.py. Plain SVG, light and dark."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).parent
STYLE = """<style>
svg { font: 14px system-ui, sans-serif; }
.ground { fill: #ffffff; } text { fill: #1d2330; } .quiet { fill: #596273; font-size: 12px; }
.line { stroke: #596273; fill: none; stroke-width: 1.5; }
.box { fill: #f1f3f7; stroke: #aeb6c4; } .wait { fill: #e08a2c; } .step { fill: #4c8fd0; }
.load { fill: #5288bf; } .good { fill: #0b6e4f; }
.on { fill: #10141c; font-weight: 600; } .onload { fill: #ffffff; font-weight: 600; }
.cut { stroke: #b3261e; stroke-width: 2; stroke-dasharray: 5 4; }
@media (prefers-color-scheme: dark) {
  .ground { fill: #14171d; } text { fill: #e8ebf0; } .quiet { fill: #a3adbd; } .line { stroke: #a3adbd; }
  .box { fill: #232a34; stroke: #4b5566; }
  .on, .onload { fill: #0c0f14; } .load { fill: #7fb0e0; } .good { fill: #4cc79b; } .cut { stroke: #ff8a80; }
}
</style>"""


def picture(name: str, title: str, width: int, height: int, parts: Sequence[str]) -> None:
    """Write one picture with a title for those who cannot see it."""
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" role="img">'
    ground = f'<rect class="ground" width="{width}" height="{height}"/>'
    body = f"{head}<title>{title}</title>{STYLE}{ground}{''.join(parts)}</svg>\n"
    (HERE / f"{name}.svg").write_text(body, encoding="utf-8")


def text(x: float, y: float, words: str, kind: str = "", anchor: str = "start") -> str:
    """Return a line of text."""
    return f'<text x="{x}" y="{y}" class="{kind}" text-anchor="{anchor}">{words}</text>'


def box(x: float, y: float, width: float, height: float, kind: str, words: str = "", on: str = "on") -> str:
    """Return a rectangle with a word in its middle."""
    label = text(x + width / 2, y + height / 2 + 5, words, on, "middle") if words else ""
    return f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="3" class="{kind}"/>{label}'


def arrow(x: float, y: float, to_x: float, to_y: float) -> str:
    """Return a straight arrow."""
    across = to_x != x
    head = f"l{-8 if to_x > x else 8} -5v10z" if across else f"l-5 {-8 if to_y > y else 8}h10z"
    return f'<path class="line" d="M{x} {y}L{to_x} {to_y}"/><path d="M{to_x} {to_y}{head}" fill="#596273"/>'


def swap() -> None:
    """One process, its loader changed between two batches."""
    parts = [text(20, 30, "the training thread"), text(20, 100, "loading")]
    x = 170.0
    for _ in range(2):
        parts += [box(x, 15, 70, 26, "wait", "wait"), box(x, 85, 70, 26, "load", "load", "onload")]
        parts.append(box(x + 72, 15, 44, 26, "step", "step"))
        x += 118
    parts.append(f'<path class="cut" d="M{x + 6} 5V190"/>')
    parts.append(text(x + 12, 64, "swap: the iterator object stays, its insides change", "quiet"))
    x += 12
    parts.append(box(x, 15, 68, 26, "wait", "wait"))
    for k in range(6):
        parts.append(box(x + 70 + 46 * k, 15, 44, 26, "step", "step"))
    for row in range(2):
        for k in range(4):
            parts.append(box(x + 80 * k + 26 * row, 85 + 32 * row, 70, 26, "load", "load", "onload"))
    parts += [text(20, 132, "worker 2 (after the swap)", "quiet")]
    parts.append(
        text(170, 180, "num_workers=0", "quiet") + text(x + 4, 180, "num_workers=2: same samples, same order", "quiet")
    )
    picture("swap", "A swap between two batches of one process: from no workers to two", 780, 196, parts)


def ceiling() -> None:
    """Where throughput lies below the ceiling, and how the search gets there."""
    parts = [
        arrow(60, 250, 60, 20),
        arrow(60, 250, 640, 250),
        text(16, 16, "samples/s", "quiet"),
        text(648, 255, "workers", "quiet"),
    ]
    y = {0: 210.0, 1: 205.0, 2: 130.0, 3: 80.0, 4: 52.0, 5: 50.0, 6: 50.0}
    x = {n: 110.0 + 80 * n for n in y}
    parts.append('<path class="cut" d="M60 46H620"/>' + text(70, 38, "ceiling: the loop with free data", "quiet"))
    points = " ".join(f"{x[n]},{y[n]}" for n in y)
    parts.append(f'<polyline class="line" points="{points}"/>')
    parts += [text(x[n], 268, str(n), "quiet", "middle") for n in y]
    parts.append(box(x[0] - 6, y[0] - 6, 12, 12, "step") + text(x[0] - 6, y[0] + 26, "yours: measured first"))
    parts.append(f'<path class="line" d="M{x[0]} {y[0] - 14}V60"/>' + text(x[0] + 8, 140, "headroom", "quiet"))
    diamond = f'<path class="good" d="M{x[4]} {y[4] - 11}l11 11l-11 11l-11 -11z"/>'
    parts.append(diamond + text(x[4] + 4, y[4] + 34, "cheapest that is fast enough:", "", "start"))
    parts.append(text(x[4] + 4, y[4] + 52, "predicted, then measured, then proved", "quiet"))
    picture(
        "ceiling",
        "Throughput over workers below the ceiling; the search tries the cheapest sufficient setting",
        720,
        284,
        parts,
    )


def proof() -> None:
    """Alternating pairs."""
    parts = []
    rates = (("A", 34), ("B", 84), ("B", 88), ("A", 36), ("A", 30), ("B", 78), ("B", 80), ("A", 31))
    for k, (who, height) in enumerate(rates):
        kind, on = ("wait", "on") if who == "A" else ("good", "onload")
        parts.append(box(40 + 74 * k, 130 - height, 64, height, kind, who, on))
    for pair in range(4):
        parts.append(f'<path class="line" d="M{40 + 148 * pair} 140v6h138v-6"/>')
        parts.append(text(40 + 148 * pair + 69, 164, f"pair {pair + 1}: B / A", "quiet", "middle"))
    parts.append(text(40, 24, "A: yours    B: the candidate    neighbours in time share the machine's drift", "quiet"))
    parts.append(text(40, 190, "recommended only if the 95 % interval of the mean ratio leaves out 1"))
    picture("proof", "Alternating pairs of measurements: yours and the candidate's, A B B A", 660, 204, parts)


def parts_of_it() -> None:
    """The processes of a campaign."""
    parts = [
        box(20, 30, 190, 150, "box"), text(115, 54, "gputune", "", "middle"), text(36, 82, "campaign, search", "quiet"),
        text(36, 102, "diagnosis, report", "quiet"), text(36, 122, "samples CPU, GPU, disk", "quiet"),
        text(36, 142, "from outside, 5 a second", "quiet"), box(300, 10, 440, 190, "box"),
        text(520, 32, "sandbox: what is written goes to a scratch space", "quiet", "middle"),
        box(320, 46, 230, 138, "box"), text(435, 70, "your script, unmodified", "", "middle"),
        text(336, 96, "agent: 4 hooks in the loader's", "quiet"),
        text(336, 114, "iterator, no thread, obeys at", "quiet"),
        text(336, 132, "batch boundaries, inside next()", "quiet"),
        text(336, 158, "stdlib, msgspec, gputune.probes", "quiet"),
        box(590, 60, 130, 40, "box", "worker 1", ""), box(590, 112, 130, 40, "box", "worker 2", ""),
        arrow(210, 84, 318, 84), text(264, 76, "orders", "quiet", "middle"),
        arrow(320, 132, 212, 132), text(264, 152, "bursts", "quiet", "middle"),
        arrow(590, 80, 552, 80), arrow(590, 132, 552, 132),
    ]  # fmt: skip
    picture(
        "parts",
        "gputune and the script run in two processes, joined by two pipes; the script is in a sandbox",
        760,
        212,
        parts,
    )


if __name__ == "__main__":
    for draw in (swap, ceiling, proof, parts_of_it):
        draw()
