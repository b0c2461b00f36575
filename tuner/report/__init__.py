"""One renderer a file, each a pure function of a stored :class:`gputune.record.Run`."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

import msgspec

from gputune.record import Run


class Format(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the table of report formats."""

    name: str
    module: str
    suffix: str
    summary: str
    binary: bool = False

    def render(self, run: Run) -> bytes:
        """Return the report; text is UTF-8."""
        renderer: Callable[[Run], str | bytes] = import_module(self.module).render
        made = renderer(run)
        return made.encode() if isinstance(made, str) else made


_TABLE = (
    Format(name="console", module="gputune.report.console", suffix=".txt", summary="for the terminal"),
    Format(name="md", module="gputune.report.markdown", suffix=".md", summary="a table for a pull request"),
    Format(name="html", module="gputune.report.html", suffix=".html", summary="one self-contained page"),
    Format(
        name="trace", module="gputune.report.trace", suffix=".json.gz", binary=True,
        summary="Chrome trace of the bursts, for ui.perfetto.dev",
    ),
    Format(name="json", module="gputune.report.json", suffix=".json", summary="the run and its verdict"),
)  # fmt: skip
FORMATS: dict[str, Format] = {row.name: row for row in _TABLE}
"""Every report format by name, in the order help shows them."""
