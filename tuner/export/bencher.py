"""Bencher Metric Format: ``{benchmark: {measure: {value, lower_value, upper_value}}}``."""

from __future__ import annotations

import json

from gputune.export import measures
from gputune.record import Run


def render(run: Run) -> str:
    """Return the metrics of the run under the script's name."""
    metrics: dict[str, dict[str, float]] = {}
    for measure in measures.of(run):
        metric = {"value": measure.value}
        if measure.low is not None and measure.high is not None:
            metric |= {"lower_value": measure.low, "upper_value": measure.high}
        metrics[measure.name.replace(" ", "-")] = metric
    return json.dumps({measures.title(run): metrics}, indent=2) + "\n"
