"""What no argument of a loader expresses: comments that say how process-wide settings are applied."""

from __future__ import annotations

from gputune import described
from gputune.probes.settings import Settings


def comments(settings: Settings) -> list[str]:
    """Return one comment line for each process-wide setting that is on."""
    return [f"# {sentence}" for sentence in described.process_wide(settings)]


def appended(text: str, settings: Settings) -> str:
    """Return an export with these comments behind it, unchanged when there are none."""
    lines = comments(settings)
    return text if not lines else text.rstrip("\n") + "\n\n" + "\n".join(lines) + "\n"
