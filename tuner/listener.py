"""Whoever shows a campaign while it runs."""

from __future__ import annotations

from typing import Protocol

from gputune.probes.settings import Settings
from gputune.record import Run, Trial


class Listener(Protocol):
    """Shows a campaign while it runs."""

    def phase(self, name: str, run: Run) -> None:
        """A phase begins; ``run`` is what is known so far."""

    def plan(self, settings: Settings, why: str, run: Run) -> None:
        """These settings are measured next."""

    def trial(self, trial: Trial, run: Run) -> None:
        """A trial is complete."""

    def note(self, text: str) -> None:
        """Something worth a line."""
