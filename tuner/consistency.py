"""What a stored run must fulfil beyond its schema, so that every view of it works."""

from __future__ import annotations

from collections.abc import Iterator

from gputune.probes.burst import Burst
from gputune.record import Run

_SERIES = ("period_s", "wait_s", "samples", "ready")
"""One entry a measured batch in each; ``ready`` may be left out."""


def problem(run: Run) -> str:
    """Return what is inconsistent in a run, in a few words; empty when nothing is."""
    for name, burst in _bursts(run):
        lengths = {series: len(getattr(burst, series)) for series in _SERIES}
        if not lengths["ready"]:
            del lengths["ready"]
        if len(set(lengths.values())) > 1:
            return f"{name} has series of different lengths ({', '.join(f'{s}: {n}' for s, n in lengths.items())})"
        if not lengths["period_s"] and name in ("baseline", "ceiling"):
            return f"{name} holds no measured batch"
    return ""


def _bursts(run: Run) -> Iterator[tuple[str, Burst]]:
    named = [("baseline", run.baseline), ("ceiling", run.ceiling), ("diagnosis", run.diagnosis)]
    named += [(f"trial {trial.number}", trial.burst) for trial in run.trials]
    named += [
        ("a proof pair", burst)
        for pair in (run.proof.pairs if run.proof else ())
        for burst in (pair.user, pair.candidate)
    ]
    yield from ((name, burst) for name, burst in named if burst is not None)
