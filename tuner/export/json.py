"""The configuration as JSON."""

from __future__ import annotations

import msgspec

from gputune import config
from gputune.record import Run


def render(run: Run) -> str:
    """Return the recommended configuration as indented JSON."""
    return text(config.from_run(run))


def text(configuration: config.Config) -> str:
    """Return any configuration as indented JSON."""
    return msgspec.json.format(msgspec.json.encode(configuration), indent=2).decode() + "\n"
