"""One self-contained page: no network, light and dark, phone to wide, printable; figures are inline SVG.

The stored run is embedded as JSON (element ``run-data``), without the raw series of trials where the page
would grow beyond :data:`MAX_PAGE_BYTES`. The patch alone is not in the
run: it is shown when the script still lies where it was measured, else the page says why not.
"""

from __future__ import annotations

from html import escape
from importlib.resources import files
from string import Template

import msgspec

from gputune import config, verdict
from gputune.errors import InconclusiveError
from gputune.export import patch, python
from gputune.numbers import percent, plain_rate, times
from gputune.record import Run
from gputune.report import (
    embed,
    ledger_figure,
    markup,
    proof_figure,
    service_figure,
    tables,
    timeline_section,
    workers_figure,
)

MAX_PAGE_BYTES = 295_000
"""What the embedded run may fill the page up to."""


def render(run: Run) -> str:
    """Return the page as text."""
    judged = verdict.of(run)
    sections = [
        _recommendation(run),
        _ledger(run),
        _workers_and_proof(run),
        timeline_section.render(run),
        _by_line(run),
        _service_and_machine(run),
        _tried(run),
        _missing(run),
    ]
    parts = {
        "title": escape(f"gputune: {judged.headline}"),
        "tool_version": escape(run.tool_version),
        "created": escape(run.created_at[:16].replace("T", " ")),
        "command": escape(" ".join(run.command)),
        "headline": escape(judged.headline),
        "tiles": _tiles(judged, run),
        "says": _says(judged),
        "body": "\n".join(part for part in sections if part),
        "moments": embed.script_safe(msgspec.json.encode(timeline_section.moments(run)).decode()),
        "style": _file("style"),
        "script": _file("script"),
    }
    data, thinned = embed.embedded(run, MAX_PAGE_BYTES - sum(len(part.encode()) for part in parts.values()))
    footer = f"Run {escape(run.id)}. {thinned} All is measured unless marked ~ (estimated) or - (not met)."
    return Template(_file("template")).substitute(parts, footer=footer, data=data)


def _file(name: str) -> str:
    return (files("gputune.report") / f"{name}.html").read_text(encoding="utf-8")


def _tiles(judged: verdict.Verdict, run: Run) -> str:
    tiles = []
    if judged.samples_per_s is not None:
        tiles.append(("your throughput", plain_rate(judged.samples_per_s), "samples/s"))
    if judged.ceiling_samples_per_s is not None:
        tiles.append(("ceiling", plain_rate(judged.ceiling_samples_per_s), "samples/s with free data"))
    if judged.headroom is not None:
        tiles.append(("headroom", times(judged.headroom), "ceiling / yours"))
    if judged.starvation is not None:
        tiles.append(("starvation", percent(judged.starvation), "of the ceiling is lost"))
    if run.recommendation:
        chosen = run.recommendation
        tiles.append(("proved gain", times(chosen.ratio), f"95 % interval {chosen.low:.2f}-{chosen.high:.2f}"))
    cells = (
        f'<div class="tile"><dt>{escape(name)}</dt><dd>{escape(value)}<small>{escape(unit)}</small></dd></div>'
        for name, value, unit in tiles
    )
    return f'<dl class="tiles">{"".join(cells)}</dl>' if tiles else ""


def _says(judged: verdict.Verdict) -> str:
    rows = [("Cause", judged.cause_sentence), ("Need", judged.need_sentence)]
    rows.append(("Fix" if judged.proved else "Result", judged.fix_sentence))
    rows += [("Also", f"{f.sentence}{': ' + f.advice if f.advice else ''}") for f in judged.findings]
    rows += [("Note", caveat) for caveat in judged.caveats]
    cells = "".join(f"<dt>{name}</dt><dd>{escape(text)}</dd>" for name, text in rows if text)
    return markup.section("verdict", "Why, and what to do", f'<dl class="says">{cells}</dl>') if cells else ""


def _recommendation(run: Run) -> str:
    if run.recommendation is None or run.loader is None:
        return ""
    blocks = [("code-python", python.snippet(config.from_run(run).loaders[0]).strip())]
    try:
        blocks.insert(0, ("code-patch", patch.render(run).strip()))
    except InconclusiveError as error:
        refused = f"{error}"
    else:
        refused = ""
    commands = "" if refused else f"gputune export {run.id} --format patch | git apply\n"
    blocks.append(("code-run", f"{commands}gputune run {' '.join(run.command)}"))
    note = f"No patch: {refused}." if refused else ""
    return markup.section("fix", "Proved settings", "".join(markup.code(*block) for block in blocks), note)


def _ledger(run: Run) -> str:
    books = ledger_figure.ledgers(run)
    if not books:
        return ""
    body = f"<figure>{ledger_figure.bars(books)}</figure><div class=scroll>{ledger_figure.table(books)}</div>"
    changes = "".join(_change(row) for row in tables.changes(run))
    if changes:
        head = '<thead><tr><th scope="col"></th><th class="num" scope="col">yours</th>'
        head += '<th class="num" scope="col">proposed</th><th scope="col"></th></tr></thead>'
        body += f"<h3>Before and after ({escape(tables.gain(run))})</h3>"
        body += f"<div class=scroll><table class=narrow>{head}<tbody>{changes}</tbody></table></div>"
    note = "An average step; events are spread over the batches between them. Lengths share one scale."
    return markup.section("ledger", "Where the time goes", body, note)


def _change(row: tables.Change) -> str:
    mark = "changed" if row.changed else ""
    cells = f'<td class="num">{escape(row.before)}</td><td class="num">{escape(row.after)}</td><td>{mark}</td>'
    return f'<tr class="{mark}"><th scope="row">{escape(row.name)}</th>{cells}</tr>'


SHAPES = {
    "yours": '<rect class="user" x="4" y="4" width="10" height="10"/>',
    "trial": '<circle class="trial" cx="9" cy="9" r="5"/>',
    "proposed": '<path class="proposed" d="M9 1l8 8l-8 8l-8 -8z"/>',
    "failed": '<path class="failed" d="M4 4l10 10m0 -10l-10 10"/>',
    "predicted": '<line class="predicted" x1="1" x2="17" y1="9" y2="9"/>',
}
_ITEMS = (f'<li><svg viewBox="0 0 18 18" aria-hidden="true">{shape}</svg>{name}</li>' for name, shape in SHAPES.items())
KEY = f'<ul class="key">{"".join(_ITEMS)}</ul>'
"""What the shapes of the workers figure mean."""


def _workers_and_proof(run: Run) -> str:
    parts = []
    if drawn := workers_figure.draw(run):
        note = "Cost: seconds of the campaign spent at that number of workers."
        parts.append(markup.section("workers", "Throughput over workers", f"<figure>{drawn}</figure>{KEY}", note))
    if run.proof and (drawn := proof_figure.draw(run.proof)):
        note = f"Alternating pairs of yours and the proposed settings. {tables.gain(run)}."
        parts.append(markup.section("proof", "Proof", f"<figure>{drawn}</figure>", note))
    return markup.side_by_side(parts)


def _service_and_machine(run: Run) -> str:
    parts = []
    if drawn := service_figure.draw(run):
        parts.append(
            markup.section(
                "service", "Time to make one batch", f"<figure>{drawn}</figure>", service_figure.describe(run)
            )
        )
    rows = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in tables.machine(run))
    limits = f'<dl class="facts">{rows}</dl>'
    parts.append(markup.section("machine", "This machine's limits", limits))
    return markup.side_by_side(parts)


def _by_line(run: Run) -> str:
    parts = []
    for number, (title, places) in enumerate(tables.by_line(run, most=8)):
        heads = (("", ""), ("share", "num"), ("where", ""))
        rows = [markup.share_row(place.share, place.shown) for place in places]
        parts.append(markup.section(f"lines-{number}", title, markup.table(title, heads, rows)))
    return markup.side_by_side(parts)


def _tried(run: Run) -> str:
    rows = tables.tried(run)
    if len(rows) < 2:
        return ""
    body = (
        f'<tr><th scope="row">{escape(row.number)}</th><td><code>{escape(row.settings)}</code></td>'
        + "".join(f'<td class="num">{escape(cell)}</td>' for cell in (row.predicted, row.rate, row.wait, row.cost))
        + f'<td class="quiet">{escape(row.note)}</td></tr>'
        for row in rows
    )
    heads = (
        ("#", ""), ("settings", ""), ("predicted", "num"), ("samples/s", "num"), ("data wait", "num"),
        ("cost", "num"), ("why", ""),
    )  # fmt: skip
    return markup.section("tried", "What was tried", markup.table("What was tried", heads, body))


def _missing(run: Run) -> str:
    items = "".join(f"<li>{escape(sentence)}</li>" for sentence in run.missing)
    return markup.section("missing", "Not measured", f'<ul class="plain">{items}</ul>') if items else ""
