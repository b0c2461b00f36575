"""The report as JSON: the stored run, its verdict and its ledger, for programs."""

from __future__ import annotations

import msgspec

from gputune import ledger, verdict
from gputune.record import Run


def render(run: Run) -> str:
    """Return ``{"verdict": ..., "ledger": ..., "run": ...}`` as indented JSON."""
    book = ledger.of_burst(run.baseline, run.loader) if run.baseline else None
    document = {"verdict": verdict.of(run), "ledger": book, "run": run}
    return msgspec.json.format(msgspec.json.encode(document), indent=1).decode() + "\n"
