"""The Markdown report under its export name."""

from __future__ import annotations

from gputune.record import Run
from gputune.report import markdown


def render(run: Run) -> str:
    """Return the report for a pull request; works without a recommendation too."""
    return markdown.render(run)
