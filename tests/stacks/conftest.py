"""The stacks take minutes, so they only run when they are asked for: make stacks."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
DOCUMENT = HERE.parents[1] / "docs" / "stacks.md"
BEGIN, END = "<!-- matrix: written by make stacks -->", "<!-- end of the matrix -->"
ROWS: pytest.StashKey[list[Any]] = pytest.StashKey()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--write-matrix", action="store_true", help="put the stacks' rows into docs/stacks.md")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[ROWS] = []


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if "stacks" in config.option.markexpr or any("stacks" in argument for argument in config.args):
        return
    for item in items:
        if item.get_closest_marker("stacks"):
            item.add_marker(pytest.mark.skip(reason="takes minutes and libraries of its own: make stacks"))


@pytest.fixture
def matrix_rows(request: pytest.FixtureRequest) -> list[Any]:
    """Rows for the matrix at the end."""
    return request.config.stash[ROWS]


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    rows = config.stash[ROWS]
    if not rows:
        return
    from matrix import table

    terminalreporter.section("stacks")
    terminalreporter.write_line(table(rows))
    if config.getoption("--write-matrix"):
        head, _, rest = DOCUMENT.read_text(encoding="utf-8").partition(BEGIN)
        DOCUMENT.write_text(f"{head}{BEGIN}\n{table(rows)}\n{END}{rest.partition(END)[2]}", encoding="utf-8")
