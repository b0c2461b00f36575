"""Small pieces of the page that several sections share. Text is escaped here, markup is passed on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from gputune.numbers import percent


def section(identity: str, title: str, body: str, note: str = "") -> str:
    """Return a card with a heading that names it."""
    shown = f'<p class="note">{escape(note)}</p>' if note else ""
    head = f'<h2 id="h-{identity}">{escape(title)}</h2>'
    return f'<section aria-labelledby="h-{identity}">{head}{shown}{body}</section>'


def side_by_side(parts: list[str]) -> str:
    """Return one or two cards, next to each other where the page is wide enough."""
    return f'<div class="pair{" two" if len(parts) > 1 else ""}">{"".join(parts)}</div>' if parts else ""


def code(identity: str, text: str) -> str:
    """Return a block of code with a button that copies it."""
    return (
        f'<div class="code"><pre tabindex="0"><code id="{identity}">{escape(text)}</code></pre>'
        f'<button type="button" data-copy="{identity}" aria-label="Copy this block">Copy</button></div>'
    )


def table(name: str, heads: Sequence[tuple[str, str]], rows: Iterable[str]) -> str:
    """Return a table that scrolls sideways on a phone.

    Args:
        name: what it shows, for those who cannot see it.
        heads: title and class of each column.
        rows: finished ``<tr>`` elements.
    """
    head = "".join(f'<th scope="col"{_class(side)}>{escape(title)}</th>' for title, side in heads)
    return (
        f'<div class="scroll" tabindex="0" role="group" aria-label="{escape(name)}">'
        f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _class(name: str) -> str:
    return f' class="{name}"' if name else ""


def share_row(share: float, text: str) -> str:
    """Return a row of a list of parts: a bar, its percentage, what it is."""
    bar = f'<span class="share" style="width:{min(1.0, share) * 100:.0f}%" aria-hidden="true"></span>'
    return (
        f'<tr><td class="bar">{bar}</td><td class="num">{percent(share)}</td>'
        f'<th scope="row"><code>{escape(text)}</code></th></tr>'
    )
