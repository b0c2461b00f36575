"""The report inside a notebook cell."""

from __future__ import annotations

from html import escape

from gputune.record import Run
from gputune.report import html

HEIGHT_PX = 720


def frame(run: Run) -> str:
    """Return the page in an iframe of its own, so that nothing of it reaches the notebook."""
    page = escape(html.render(run), quote=True)
    return (
        f'<iframe srcdoc="{page}" sandbox="allow-scripts" title="gputune report" '
        f'style="width:100%;height:{HEIGHT_PX}px;border:0"></iframe>'
    )
