"""``python -m gputune`` is ``gputune``."""

from gputune.cli import entry

entry()
