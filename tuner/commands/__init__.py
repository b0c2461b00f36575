"""One small file a verb; the table below is the table of contents. Heavy imports belong inside ``run``."""

from __future__ import annotations

import argparse
import importlib
from typing import Protocol


class Command(Protocol):
    """A verb of the command line."""

    name: str
    help: str

    def configure(self, parser: argparse.ArgumentParser) -> None:
        """Add the verb's arguments."""
        ...

    def run(self, arguments: argparse.Namespace) -> int:
        """Do it and return the exit code."""
        ...


VERBS: tuple[tuple[str, str], ...] = (
    ("profile", "Profile"),
    ("export", "Export"),
    ("run", "Run"),
    ("check", "Check"),
    ("report", "Report"),
    ("compare", "Compare"),
    ("list", "List"),
    ("doctor", "Doctor"),
    ("completion", "Completion"),
)
"""Module and class of every verb, in the order the help shows them."""


def load_all() -> list[Command]:
    """Return an instance of every verb."""
    found: list[Command] = []
    for module, name in VERBS:
        found.append(getattr(importlib.import_module(f"gputune.commands.{module}"), name)())
    return found
