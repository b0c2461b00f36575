"""One self-contained page: no network, light and dark, phone to wide, printable; figures are inline SVG.

The stored run is embedded as JSON (element ``run-data``), without the raw series of trials where the page
would grow beyond :data:`gputune.report.embed.MAX_DATA_BYTES`. The patch alone is not in the
run: it is shown when the script still lies where it was measured, else the page says why not.
"""

from __future__ import annotations

from html import escape
from importlib.resources import files
from string import Template

from gputune import config, verdict
from gputune.errors import InconclusiveError
from gputune.export import patch, python
from gputune.numbers import percent, plain_rate, times
from gputune.probes.burst import Burst
from gputune.record import Run
from gputune.report import (
    embed,
    ledger_figure,
    proof_figure,
    service_figure,
    tables,
    timeline_figure,
    workers_figure,
)
from gputune.timeline import measured


def render(run: Run) -> str:
    """Return the page as text."""
    judged = verdict.of(run)
    data, thinned = embed.embedded(run)
    template = Template((files("gputune.report") / "template.html").read_text(encoding="utf-8"))
    sections = [
        _recommendation(run),
        _ledger(run),
        _workers_and_proof(run),
        _timelines(run),
        _service_and_machine(run),
    ]
    sections += [_tried(run), _missing(run)]
    return template.substitute(
        title=escape(f"gputune: {judged.headline}"),
        tool_version=escape(run.tool_version),
        created=escape(run.created_at[:16].replace("T", " ")),
        command=escape(" ".join(run.command)),
        headline=escape(judged.headline),
        tiles=_tiles(judged, run),
        says=_says(judged),
        body="\n".join(part for part in sections if part),
        footer=f"Run {escape(run.id)}. {thinned} All is measured unless marked ~ (estimated) or - (not met).",
        data=data,
    )


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
    return _section("verdict", "Why, and what to do", f'<dl class="says">{cells}</dl>') if cells else ""


def _section(identity: str, title: str, body: str, note: str = "") -> str:
    shown = f'<p class="note">{escape(note)}</p>' if note else ""
    head = f'<h2 id="h-{identity}">{escape(title)}</h2>'
    return f'<section aria-labelledby="h-{identity}">{head}{shown}{body}</section>'


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
    return _section("fix", "Proved settings", "".join(_code(*block) for block in blocks), note)


def _code(identity: str, text: str) -> str:
    return (
        f'<div class="code"><pre tabindex="0"><code id="{identity}">{escape(text)}</code></pre>'
        f'<button type="button" data-copy="{identity}" aria-label="Copy this block">Copy</button></div>'
    )


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
    return _section("ledger", "Where the time goes", body, note)


def _change(row: tables.Change) -> str:
    mark = "changed" if row.changed else ""
    cells = f'<td class="num">{escape(row.before)}</td><td class="num">{escape(row.after)}</td><td>{mark}</td>'
    return f'<tr class="{mark}"><th scope="row">{escape(row.name)}</th>{cells}</tr>'


SHAPES = {
    "yours": '<rect class="user" x="4" y="4" width="10" height="10"/>',
    "trial": '<circle class="trial" cx="9" cy="9" r="5"/>',
    "proposed": '<path class="proposed" d="M9 1l8 8l-8 8l-8 -8z"/>',
    "failed": '<path class="failed" d="M4 4l10 10m0 -10l-10 10"/>',
}
_ITEMS = (f'<li><svg viewBox="0 0 18 18" aria-hidden="true">{shape}</svg>{name}</li>' for name, shape in SHAPES.items())
KEY = f'<ul class="key">{"".join(_ITEMS)}</ul>'
"""What the shapes of the workers figure mean."""


def _workers_and_proof(run: Run) -> str:
    parts = []
    if drawn := workers_figure.draw(run):
        note = "Cost: seconds of the campaign spent at that number of workers."
        parts.append(_section("workers", "Throughput over workers", f"<figure>{drawn}</figure>{KEY}", note))
    if run.proof and (drawn := proof_figure.draw(run.proof)):
        note = f"Alternating pairs of yours and the proposed settings. {tables.gain(run)}."
        parts.append(_section("proof", "Proof", f"<figure>{drawn}</figure>", note))
    return _side_by_side(parts)


def _side_by_side(parts: list[str]) -> str:
    return f'<div class="pair{" two" if len(parts) > 1 else ""}">{"".join(parts)}</div>' if parts else ""


def _timelines(run: Run) -> str:
    shown = [("yours", run.baseline), ("proposed", tables.after_burst(run))]
    drawn = [
        f"<h3>{name}{_utilization(burst)}</h3>{timeline_figure.draw(f'timeline-{name}', name, burst)}"
        for name, burst in shown
        if measured(burst)
    ]
    if not drawn:
        return ""
    met = {stall.kind.value for _, burst in shown if burst for stall in burst.stalls}
    kinds = [
        ("line-compute", "step"),
        ("line-wait", "data wait (struck through)"),
        ("fetch", "fetch"),
        ("collate", "collate"),
    ]
    kinds += [(f"line-{kind}", kind) for kind in sorted(met)]
    key = "".join(f'<li><span class="swatch {name}"></span>{text}</li>' for name, text in kinds)
    buttons = '<span><button type="button" data-zoom="2">Zoom in</button> '
    buttons += '<button type="button" data-zoom="0.5">Zoom out</button></span>'
    body = f'<div class="row"><ul class="key">{key}</ul>{buttons}</div>'
    body += f'<div id="timelines">{"".join(drawn)}</div>'
    note = "The last steps of one burst; point at a box for its numbers. Worker times are stamped, "
    note += "steps are laid end to end."
    return _section("timeline", "Timeline", body, note)


def _utilization(burst: Burst) -> str:
    used = burst.gpu.utilization
    return "" if used is None else f' <span class="quiet">GPU busy {used:.0f} % of the burst on average</span>'


def _service_and_machine(run: Run) -> str:
    parts = []
    if drawn := service_figure.draw(run):
        parts.append(
            _section("service", "Time to make one batch", f"<figure>{drawn}</figure>", service_figure.describe(run))
        )
    rows = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in tables.machine(run))
    limits = f'<dl class="facts">{rows}</dl>'
    parts.append(_section("machine", "This machine's limits", limits))
    return _side_by_side(parts)


def _tried(run: Run) -> str:
    rows = tables.tried(run)
    if len(rows) < 2:
        return ""
    body = "".join(
        f'<tr><th scope="row">{escape(row.number)}</th><td><code>{escape(row.settings)}</code></td>'
        + "".join(f'<td class="num">{escape(cell)}</td>' for cell in (row.rate, row.wait, row.cost))
        + f'<td class="quiet">{escape(row.note)}</td></tr>'
        for row in rows
    )
    names = (
        ("#", ""),
        ("settings", ""),
        ("samples/s", "num"),
        ("data wait", "num"),
        ("cost", "num"),
        ("why", ""),
    )
    head = "".join(f'<th scope="col" class="{side}">{name}</th>' for name, side in names)
    table = '<div class="scroll" tabindex="0" role="group" aria-label="What was tried">'
    table += f"<table><thead><tr>{head}</tr></thead>"
    return _section("tried", "What was tried", f"{table}<tbody>{body}</tbody></table></div>")


def _missing(run: Run) -> str:
    items = "".join(f"<li>{escape(sentence)}</li>" for sentence in run.missing)
    return _section("missing", "Not measured", f'<ul class="plain">{items}</ul>') if items else ""
