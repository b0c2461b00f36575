"""The table that the faults leave: what happened, what the user reads, what was left behind."""

from __future__ import annotations

import pytest

HEAD = ("fault", "what the user sees", "left behind")


class FaultTable:
    """Collects one row a survived fault; printed at the end of a session and, on demand, written as Markdown."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, str, str]] = []

    @classmethod
    def of(cls, config: pytest.Config) -> FaultTable:
        """Return the table of a session."""
        return config.stash.setdefault(_KEY, cls())

    def add(self, fault: str, seen: str, left: str) -> None:
        """Add the row of a fault that was survived."""
        self.rows.append((fault, seen, left))

    def lines(self) -> list[str]:
        """Return the table for a terminal."""
        widths = [max(len(row[column]) for row in (HEAD, *self.rows)) for column in range(3)]
        rule = tuple("-" * width for width in widths)
        return [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in (HEAD, rule, *self.rows)
        ]

    def markdown(self) -> str:
        """Return the table for a page."""
        rows = [HEAD, ("---",) * 3, *self.rows]
        return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |\n" for row in rows)


_KEY = pytest.StashKey[FaultTable]()
