"""Checks as lines: for a terminal with ticks, elsewhere plain ASCII; the last line is the whole answer."""

from __future__ import annotations

from gputune.gate import Gated
from gputune.judging import Check, Verdict
from gputune.numbers import plural
from gputune.record import Run

_MARKS = {Verdict.PASS: "✓", Verdict.FAIL: "✗", Verdict.INCONCLUSIVE: "?"}


def render(run: Run, gated: Gated, *, symbols: bool) -> str:
    """Return one line a check and a summary.

    Args:
        run: what was gated.
        gated: its checks.
        symbols: lead with a tick or cross; without, a log gets words only.
    """
    lines = [line(check, symbols=symbols) for check in gated.checks]
    return "".join(f"{text}\n" for text in [*lines, summary(run, gated)])


def line(check: Check, *, symbols: bool = False) -> str:
    """Return one check: verdict, requirement, measured value, reason."""
    mark = f"{_MARKS[check.verdict]} " if symbols else ""
    reason = f": {check.reason}" if check.reason else ""
    return f"{mark}{check.verdict.value:<12} {check.requirement.text:<28} measured {check.shown}{reason}"


def summary(run: Run, gated: Gated) -> str:
    """Return the answer in one line, the first check that decided it included."""
    verdict = gated.verdict
    decisive = [check for check in gated.checks if check.verdict is verdict]
    count = f"{len(decisive)} of {plural(len(gated.checks), 'check')}"
    tail = ""
    if verdict is not Verdict.PASS and decisive:
        tail = f"; {decisive[0].requirement.text}, measured {decisive[0].shown}"
    return f"gputune check: {verdict.value}, {count}{tail} (run {run.id}, {plural(len(run.rounds), 'round')})"
