"""The feed of github-action-benchmark, tool ``customBiggerIsBetter``."""

from __future__ import annotations

import json
from typing import Any

from gputune.export import measures
from gputune.record import Run


def render(run: Run) -> str:
    """Return the list of ``{name, unit, value, range, extra}``."""
    title = measures.title(run)
    rows: list[dict[str, Any]] = []
    for measure in measures.of(run):
        row: dict[str, Any] = {
            "name": f"{title}: {measure.name}",
            "unit": measure.unit,
            "value": measure.value,
        }
        if measure.low is not None and measure.high is not None:
            row["range"] = f"+-{(measure.high - measure.low) / 2:.4g}"
        row["extra"] = f"run {run.id}\ngputune {run.tool_version}"
        rows.append(row)
    return json.dumps(rows, indent=2) + "\n"
