"""The terminal report: verdict first, next command last, 78 columns, readable without colour."""

from __future__ import annotations

import io
import os

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from gputune import front, ledger, verdict, words
from gputune.cause import Finding
from gputune.numbers import percent, seconds
from gputune.record import Run
from gputune.report import tables

WIDTH = 78
BAR = 28
"""Columns of the ledger's bar."""


def render(run: Run, *, width: int = WIDTH, color: bool = False, program: str = "gputune") -> str:
    """Return the report as text; with ``color`` it holds ANSI codes unless NO_COLOR is set.

    Args:
        run: what to report.
        width: columns.
        color: whether the terminal shows colours.
        program: how the reader calls gputune, for the next commands.
    """
    colored = color and not os.environ.get("NO_COLOR")
    buffer = io.StringIO()
    console = Console(
        file=buffer, width=width, force_terminal=colored, no_color=not colored, highlight=False, emoji=False,
        color_system="standard" if colored else None, legacy_windows=False, markup=False, _environ={},
    )  # fmt: skip
    judged = verdict.of(run)
    _verdict(console, judged)
    _ledger(console, run)
    _by_line(console, run)
    _pipeline(console, run)
    _changes(console, run)
    _tried(console, run)
    _front(console, run)
    _missing(console, run)
    if judged.next_commands:
        console.print()
        for index, command in enumerate(judged.next_commands):
            typed = program + command.removeprefix("gputune")
            console.print(Text(f"{'next:' if index == 0 else '  or:'} {typed}", style="bold" if index == 0 else ""))
    return "\n".join(line.rstrip() for line in buffer.getvalue().splitlines()) + "\n"


def _verdict(console: Console, judged: verdict.Verdict) -> None:
    console.print(Text(judged.headline, style="bold"))
    lines = [("Cause:", judged.cause_sentence, "yellow"), ("Need:", judged.need_sentence, "")]
    lines += [("Fix:" if judged.proved else "Result:", judged.fix_sentence, "green" if judged.proved else "")]
    lines += [("Also:", _also(found), "") for found in judged.findings]
    lines += [("Note:", caveat, "") for caveat in judged.caveats]
    table = Table.grid(padding=(0, 1))
    table.add_column(no_wrap=True)
    table.add_column()
    for label, text, style in lines:
        if text:
            table.add_row(Text(label, style="bold"), Text(text, style=style))
    console.print(table)


def _also(found: Finding) -> str:
    return f"{found.sentence}: {found.advice}" if found.advice else found.sentence


def _heading(console: Console, text: str) -> None:
    console.print()
    console.print(Text(text, style="bold underline" if console.color_system else ""))


def _ledger(console: Console, run: Run) -> None:
    base = run.baseline
    book = ledger.of_burst(base, run.loader) if base else None
    if base is None or book is None:
        return
    _heading(console, f"Where the time goes: an average step of {seconds(book.step_s)}, your settings")
    table = Table.grid(padding=(0, 1))
    table.add_column(width=max(map(len, words.LINE_NAMES.values())), no_wrap=True)
    table.add_column(width=BAR, no_wrap=True, style="cyan")
    table.add_column(justify="right", width=7, no_wrap=True)
    table.add_column(justify="right", width=9, no_wrap=True)
    notes, quiet = [], []
    for entry in book.entries:
        name = words.LINE_NAMES[entry.line.value]
        if entry.quality is ledger.Quality.MISSING:
            quiet.append(name)
        elif entry.line is not ledger.Line.WARMUP:
            mark = tables.MARKS[entry.quality]
            table.add_row(name, bar(entry.share), mark + percent(entry.share), seconds(entry.step_s))
            notes += [f"{mark or ' '} {name}: {entry.note}"] if entry.note else []
    if quiet:
        notes.append(f"- {words.not_met(len(base.period_s))}: {', '.join(quiet)}")
    console.print(Padding(table, (0, 0, 0, 2)))
    for note in notes:
        console.print(Padding(Text(note, style="dim"), (0, 0, 0, 2)))
    if any(entry.quality is ledger.Quality.ESTIMATED for entry in book.entries):
        console.print(Padding(Text("~ marks an estimate", style="dim"), (0, 0, 0, 2)))


def _by_line(console: Console, run: Run) -> None:
    """Show the lines that sampled stacks named, where they tell more than that the model computes."""
    for title, places in tables.by_line(run):
        _heading(console, title)
        table = Table.grid(padding=(0, 1))
        table.add_column(justify="right", width=7, no_wrap=True)
        table.add_column(overflow="fold")
        for place in places:
            table.add_row(percent(place.share), place.shown)
        console.print(Padding(table, (0, 0, 0, 2)))


def _pipeline(console: Console, run: Run) -> None:
    rows = tables.pipeline(run)
    if not rows:
        return
    _heading(console, "The pipeline as it runs: part of its threads' time, and what AUTOTUNE chose")
    table = Table.grid(padding=(0, 2))
    for justify in ("right", "left", "left", "left"):
        table.add_column(justify=justify, overflow="fold")
    for name, place, share, chosen in rows:
        table.add_row(share, name, place, chosen)
    console.print(Padding(table, (0, 0, 0, 2)))


def bar(share: float, width: int = BAR) -> str:
    """Return a bar of block characters, an eighth of a column fine; anything above nothing is visible."""
    eighths = max(1 if share > 0 else 0, round(min(1.0, share) * width * 8))
    full, rest = divmod(eighths, 8)
    return "█" * full + (" ▏▎▍▌▋▊▉"[rest] if rest else "")


def _changes(console: Console, run: Run) -> None:
    rows = tables.changes(run)
    if not rows:
        return
    _heading(console, f"Before and after ({tables.gain(run)})")
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 2, 0, 0), show_edge=False)
    for name in ("", "yours", "proposed", ""):
        table.add_column(name, no_wrap=True)
    for row in rows:
        style = "bold" if row.changed else "dim"
        table.add_row(row.name, row.before, row.after, "<- changed" if row.changed else "", style=style)
    console.print(Padding(table, (0, 0, 0, 2)))


def _tried(console: Console, run: Run) -> None:
    rows = tables.tried(run)
    if len(rows) < 2:
        return
    _heading(console, "What was tried")
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), show_edge=False)
    table.add_column("#", no_wrap=True)
    table.add_column("settings", overflow="fold")
    table.add_column("samples/s", justify="right")
    table.add_column("wait", justify="right", no_wrap=True)
    table.add_column("cost", justify="right", no_wrap=True)
    table.add_column("why", style="dim", overflow="fold")
    for row in rows:
        table.add_row(row.number, row.settings, row.rate, row.wait, row.cost, row.note)
    console.print(Padding(table, (0, 0, 0, 2)))


def _front(console: Console, run: Run) -> None:
    offers = front.offers(run)
    if len(offers) < 2:
        return
    _heading(console, f"Speed against cost in workers (--prefer {run.options.get('prefer', 'balanced')})")
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), show_edge=False)
    table.add_column("settings", overflow="fold")
    for name in ("samples/s", "of fastest", "cost"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for offer in offers:
        speed, share = f"{offer.samples_per_s:.0f}", percent(offer.of_fastest)
        table.add_row(offer.settings, speed, share, f"{offer.cost:.1f}", offer.role)
    console.print(Padding(table, (0, 0, 0, 2)))


def _missing(console: Console, run: Run) -> None:
    if not run.missing:
        return
    _heading(console, "Not measured")
    for sentence in run.missing:
        console.print(Padding(Text(f"- {sentence}"), (0, 0, 0, 2)))
