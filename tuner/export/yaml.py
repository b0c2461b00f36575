"""The configuration as YAML."""

from __future__ import annotations

import msgspec

from gputune import config
from gputune.record import Run


def render(run: Run) -> str:
    """Return the recommended configuration as YAML."""
    return "# Read by: gputune run --config FILE script.py\n" + text(config.from_run(run))


def text(configuration: config.Config) -> str:
    """Return any configuration as YAML."""
    return msgspec.yaml.encode(configuration).decode()
