"""The Markdown report: tables that hold whatever the run holds."""

from __future__ import annotations

import re
from typing import Any

import pytest
import run_factory as factory

from gputune.report import markdown


@pytest.mark.parametrize("name", ["recommended", "healthy", "with_events", "detailed", "no_loader"])
def test_the_report_is_what_it_was(name: str, golden: Any) -> None:
    golden(f"markdown-{name}.md", markdown.render(factory.ALL[name]()))


@pytest.mark.parametrize("name", factory.ALL)
def test_all_rows_of_a_table_have_the_same_number_of_cells(name: str) -> None:
    for block in markdown.render(factory.ALL[name]()).split("\n\n"):
        widths = {len(re.findall(r"(?<!\\)\|", row)) for row in block.splitlines() if row.startswith("|")}
        assert len(widths) <= 1


def test_hostile_text_cannot_leave_its_cell() -> None:
    trial = factory.run().trials[0]
    import msgspec

    evil = msgspec.structs.replace(trial, why="a | b\n| c | <script>`x`")
    text = markdown.render(factory.run(trials=[evil]))
    assert "a \\| b \\| c \\| &lt;script>\\`x\\`" in text
