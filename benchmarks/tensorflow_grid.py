"""gputune's proved gain on three badly written TensorFlow scripts against the best of a hand-tuned grid.

    python benchmarks/tensorflow_grid.py fit|loop|py_dataset   # two to three minutes each

The grid runs without gputune: each point is a fresh process of the unmodified script, which counts its own samples per
second. The recommendation is then applied with ``gputune run`` and counted by the script in the same way. Needs the
environment of tests/tf/requirements.txt. Each call adds one script to results/reference/tensorflow.json.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import figures

from gputune.record import Run, load

TARGETS = Path(__file__).parents[1] / "tests" / "tf" / "targets"
SECONDS = "4"
_CALLS = ("2", "4", "8", "16", "32")
_PIPELINES = [
    [],
    ["--prefetch", "2"],
    ["--calls", "AUTOTUNE", "--prefetch", "AUTOTUNE"],
    *(["--calls", calls, "--prefetch", "2"] for calls in _CALLS[:2]),
    *(["--calls", calls, "--prefetch", "2", "--pool", calls] for calls in _CALLS),
]
GRIDS: dict[str, list[list[str]]] = {
    "fit": _PIPELINES,
    "loop": _PIPELINES,
    "py_dataset": [
        [],
        *(["--workers", workers] for workers in ("2", "3", "4", "6", "8", "12")),
        *(["--workers", workers, "--processes"] for workers in ("2", "4")),
    ],
}


def rate(command: list[str], folder: Path) -> float:
    """Return the samples per second a script counted."""
    done = subprocess.run(
        command, cwd=folder, check=True, capture_output=True, text=True, timeout=120,
        env={**os.environ, "XDG_CACHE_HOME": str(folder)},
    )  # fmt: skip
    return float(done.stdout.split("RATE")[1])


def counted(script: Path, arguments: list[str], folder: Path) -> float:
    found = rate([sys.executable, str(script), *arguments, "--seconds", SECONDS], folder)
    print(f"{' '.join(arguments) or 'as it is'}: {found:.0f}", file=sys.stderr)
    return found


def profile(script: Path, folder: Path) -> Run:
    """Return what ``gputune profile`` found."""
    subprocess.run(
        [sys.executable, "-m", "gputune", "profile", "--quiet", str(script)], cwd=folder, check=True,
        env={**os.environ, "XDG_CACHE_HOME": str(folder)},
    )  # fmt: skip
    return load(next((folder / "results").iterdir()))


def main() -> None:
    name = sys.argv[1] if len(sys.argv) > 1 else ""
    if name not in GRIDS:
        raise SystemExit(f"usage: python benchmarks/tensorflow_grid.py {'|'.join(GRIDS)}")
    script = TARGETS / f"{name}.py"
    with tempfile.TemporaryDirectory(prefix="gputune-grid-") as made:
        folder = Path(made)
        run = profile(script, folder)
        points = {" ".join(arguments): counted(script, arguments, folder) for arguments in GRIDS[name]}
        applied = rate(
            [sys.executable, "-m", "gputune", "run", str(script), "--seconds", SECONDS], folder
        ) if run.recommendation else points[""]  # fmt: skip
    best = max(points, key=lambda point: points[point])
    found = points[best] / points[""]
    write(
        name,
        {
            "grid_samples_per_s": {point or "as it is": round(value, 1) for point, value in points.items()},
            "grid_best": best,
            "grid_gain": round(found, 3),
            "recommended": str(run.recommendation.settings) if run.recommendation else None,
            "proved_gain": round(run.proof.ratio, 3) if run.proof else None,
            "proved_interval": [round(run.proof.low, 3), round(run.proof.high, 3)] if run.proof else None,
            "applied_gain": round(applied / points[""], 3),
            "proved_of_grid_gain": round(run.proof.ratio / found, 3) if run.proof else None,
            "applied_of_grid_gain": round(applied / points[best], 3),
            "trials": len(run.trials),
            "campaign_s": round(sum(run.phases_s.values()), 1),
        },
    )


def write(name: str, script: dict[str, Any]) -> None:
    """Add the figures of one script to the committed file."""
    file = figures.REFERENCE / "tensorflow.json"
    known = json.loads(file.read_text(encoding="utf-8"))["scripts"] if file.exists() else {}
    figures.write("tensorflow", {"scripts": {**known, name: script}})


if __name__ == "__main__":
    main()
