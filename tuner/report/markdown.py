"""The report as GitHub Markdown: for a pull request or a job summary."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gputune import ledger, verdict, words
from gputune.numbers import percent, seconds
from gputune.record import Run
from gputune.report import tables


def render(run: Run) -> str:
    """Return the report as Markdown."""
    judged = verdict.of(run)
    parts = [f"### gputune: {escape(judged.headline)}", _sentences(judged)]
    rows = tables.changes(run)
    if rows:
        heading = ("", "yours", "proposed", f"{tables.gain(run)}")
        body = [(row.name, row.before, row.after, "changed" if row.changed else "") for row in rows]
        parts.append(table(heading, body, "lrrl"))
    parts += [_ledger(run), *_by_line(run), _tried(run)]
    if run.missing:
        parts.append("Not measured:\n\n" + "\n".join(f"- {escape(sentence)}" for sentence in run.missing))
    if judged.next_commands:
        parts.append("```\n" + "\n".join(judged.next_commands) + "\n```")
    parts.append(f"<sub>run `{run.id}`, gputune {run.tool_version}, {escape(_where(run))}</sub>")
    return "\n\n".join(part for part in parts if part) + "\n"


def _where(run: Run) -> str:
    return ", ".join(f"{name} {value}" for name, value in tables.machine(run) if name in ("effective CPUs", "GPU"))


def _sentences(judged: verdict.Verdict) -> str:
    lines = [("Cause", judged.cause_sentence), ("Need", judged.need_sentence)]
    lines.append(("Fix" if judged.proved else "Result", judged.fix_sentence))
    lines += [("Also", f"{f.sentence}{': ' + f.advice if f.advice else ''}") for f in judged.findings]
    lines += [("Note", caveat) for caveat in judged.caveats]
    return "\n".join(f"- **{label}:** {escape(text)}" for label, text in lines if text)


def _ledger(run: Run) -> str:
    book = ledger.of_burst(run.baseline, run.loader) if run.baseline else None
    if book is None:
        return ""
    rows = [
        (words.LINE_NAMES[e.line.value], *_numbers(e), e.quality.value, e.note)
        for e in book.entries
        if e.line is not ledger.Line.WARMUP
    ]
    rows.append(("**sum**", "100 %", seconds(book.step_s), "", "an average step"))
    return _details("Where the time goes", table(("", "share", "a step", "how known", ""), rows, "lrrll"))


def _numbers(entry: ledger.Entry) -> tuple[str, str]:
    if entry.quality is ledger.Quality.MISSING:
        return tables.NONE, tables.NONE
    return percent(entry.share), seconds(entry.step_s)


def _by_line(run: Run) -> list[str]:
    heading = ("share", "where")
    return [
        _details(title, table(heading, [(percent(place.share), place.shown) for place in places], "rl"))
        for title, places in tables.by_line(run)
    ]


def _tried(run: Run) -> str:
    rows = [(r.number, r.settings, r.predicted, r.rate, r.wait, r.cost, r.note) for r in tables.tried(run)]
    if len(rows) < 2:
        return ""
    heading = ("#", "settings", "predicted", "samples/s", "data wait", "cost", "why")
    return _details("What was tried", table(heading, rows, "llrrrrl"))


def _details(summary: str, body: str) -> str:
    return f"<details><summary>{summary}</summary>\n\n{body}\n\n</details>"


def table(heading: Sequence[str], rows: Iterable[Sequence[str]], align: str) -> str:
    """Return a Markdown table; ``align`` holds one of ``l`` and ``r`` for each column."""
    rule = "|".join("---:" if side == "r" else "---" for side in align)
    lines = ["| " + " | ".join(escape(cell) for cell in heading) + " |", f"|{rule}|"]
    lines += ["| " + " | ".join(escape(cell) for cell in row) + " |" for row in rows]
    return "\n".join(lines)


def escape(text: str) -> str:
    """Return text that cannot break out of a table cell or become markup."""
    safe = text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("`", "\\`")
    return " ".join(safe.split())
