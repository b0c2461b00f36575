"""The ledger as two bars on one scale: yours and the proposed settings; with the same numbers as a table."""

from __future__ import annotations

from html import escape

from gputune import ledger, words
from gputune.numbers import percent, seconds
from gputune.record import Run
from gputune.report import svg, tables

WIDTH, BAR, GAP = 960, 46, 30
LETTER = 7.6
"""Rough width of a letter; a label that does not fit in its segment is left to the table."""


def ledgers(run: Run) -> list[tuple[str, ledger.Ledger]]:
    """Return the ledgers to show, the user's first."""
    after = tables.after_burst(run)
    bursts = [("yours", run.baseline), ("proposed", after)]
    found = [(name, ledger.of_burst(burst, run.loader)) for name, burst in bursts if burst]
    return [(name, book) for name, book in found if book]


def bars(books: list[tuple[str, ledger.Ledger]]) -> str:
    """Return the stacked bars; lengths are seconds of an average step on one scale.

    Positions are percentages, so that the bars follow the page's width and the letters keep their size.
    """
    longest_s = max(book.step_s for _, book in books)
    parts = []
    for row, (name, book) in enumerate(books):
        y = 20.0 + row * (BAR + GAP)
        parts.append(svg.text(0, y - 6, f"{name}: {seconds(book.step_s)} a step", class_="strong"))
        left = 0.0
        for entry in book.entries:
            share = entry.step_s / longest_s
            if share > 0:
                parts.append(_segment(left, y, share, entry))
            left += share
    said = "; ".join(f"{name} {seconds(book.step_s)}" for name, book in books)
    height = 20 + len(books) * (BAR + GAP) - GAP + 4
    drawn = svg.figure("ledger", "Where the time of an average step goes", said, WIDTH, height, parts)
    return drawn.replace(f'viewBox="0 0 {WIDTH} {height}"', f'style="height:{height}px"', 1)


def _segment(left: float, y: float, share: float, entry: ledger.Entry) -> str:
    name = words.LINE_NAMES[entry.line.value]
    label = f"{name} {percent(entry.share)}"
    parts = svg.title(f"{label}, {seconds(entry.step_s)} ({entry.quality.value})")
    parts += svg.tag("rect", width="100%", height=BAR, class_=f"segment line-{entry.line.value}")
    if entry.line is ledger.Line.WAIT:
        parts += svg.tag("rect", width="100%", height=BAR, fill="url(#hatch)")
    for shown in (label, percent(entry.share)):
        if len(shown) * LETTER + 12 <= share * WIDTH:
            parts += svg.text(8, BAR / 2 + 5, shown, class_="on-bar")
            break
    # An inner viewport of its own cuts off a label that does not fit on a narrow page.
    return svg.tag(
        "svg", parts, x=f"{left * 100:.3f}%", y=y, width=f"{share * 100:.3f}%", height=BAR, overflow="hidden"
    )


def table(books: list[tuple[str, ledger.Ledger]]) -> str:
    """Return the numbers as an HTML table; it is the legend too."""
    heads = "".join(f'<th scope="col" class="num">{name}</th>' for name, _ in books)
    rows = [_row(line, books) for line in ledger.Line if line is not ledger.Line.WARMUP]
    total = "".join(f'<td class="num">{seconds(book.step_s)}</td>' for _, book in books)
    head = f'<tr><th scope="col">an average step</th>{heads}<th scope="col">how known</th></tr>'
    foot = f'<tr><th scope="row">sum</th>{total}<td></td></tr>'
    return f"<table><thead>{head}</thead><tbody>{''.join(rows)}</tbody><tfoot>{foot}</tfoot></table>"


def _row(line: ledger.Line, books: list[tuple[str, ledger.Ledger]]) -> str:
    entries = [book.entry(line) for _, book in books]
    cells = "".join(f'<td class="num">{_cell(entry)}</td>' for entry in entries)
    told = next((n for n, entry in enumerate(entries) if entry.quality is not ledger.Quality.MISSING), 0)
    known = (f"{books[told][0]} only, " if told else "") + entries[told].quality.value
    known += f": {entries[told].note}" if entries[told].note else ""
    swatch = f'<span class="swatch line-{line.value}" aria-hidden="true"></span>'
    name = escape(words.LINE_NAMES[line.value])
    return f'<tr><th scope="row">{swatch}{name}</th>{cells}<td class="quiet">{escape(known)}</td></tr>'


def _cell(entry: ledger.Entry) -> str:
    if entry.quality is ledger.Quality.MISSING:
        return tables.NONE
    mark = tables.MARKS[entry.quality]
    return f"{mark}{seconds(entry.step_s)} <span class=quiet>{escape(percent(entry.share))}</span>"
