"""The recommendation for the latency example against the best of an exhaustive grid, side by side.

    python benchmarks/latency_grid.py

Starts from num_workers=0 on examples/remote_storage.py. The grid is hot-swapped too (long bursts), so it is the
strongest opponent: the same script with a restart for each point would take several times longer. The winner of the
grid and the recommendation are then compared in alternating pairs. Last, the exported configuration is applied with
``gputune run`` to the whole script and compared with the proved gain.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from itertools import product
from pathlib import Path

import figures

from gputune import proof, stats
from gputune.probes.burst import Burst, Purpose
from gputune.probes.protocol import Length
from gputune.probes.settings import Settings
from gputune.record import Run, load
from gputune.script import parse
from gputune.target_bench import TargetBench

EXAMPLE = Path(__file__).parents[1] / "examples" / "remote_storage.py"
WORKERS = (0, 1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20)
PREFETCH = (1, 2, 4, 8)
LONG = Length(warmup_batches=4, min_batches=40, min_s=2.0, max_s=4.0, precision=0.02)


def profile(folder: Path) -> tuple[Run, float]:
    """Return what ``gputune profile`` found, and its wall clock."""
    began = time.monotonic()
    subprocess.run(
        [sys.executable, "-m", "gputune", "profile", "--quiet", str(EXAMPLE)], cwd=folder, check=True,
        env={**os.environ, "XDG_CACHE_HOME": str(folder)},
    )  # fmt: skip
    wall_s = time.monotonic() - began
    return load(next((folder / "results").iterdir())), wall_s


def grid(bench: TargetBench) -> dict[Settings, float]:
    """Return samples/s of every point."""
    points = {
        Settings.make(num_workers=workers, prefetch_factor=prefetch) for workers, prefetch in product(WORKERS, PREFETCH)
    }
    found = {}
    for settings in sorted(points, key=lambda point: (point.num_workers, point.prefetch_factor or 0)):
        burst = bench.measure(settings, Purpose.TRIAL, LONG)
        if isinstance(burst, Burst):
            found[settings] = stats.samples_per_s(burst)
            print(f"{settings}: {found[settings]:.0f}", file=sys.stderr)
    return found


def whole_epoch(words: list[str], cwd: Path) -> float:
    """Return samples/s of one epoch of the whole script."""
    done = subprocess.run(words, capture_output=True, text=True, check=True, cwd=cwd, env=dict(os.environ))
    found = re.search(r"([\d.]+) samples/s", done.stdout)
    assert found, done.stdout
    return float(found[1])


def main() -> None:
    folder = Path(tempfile.mkdtemp(prefix="gputune-grid-"))
    run, wall_s = profile(folder)
    assert run.recommendation is not None, run.outcome
    chosen = run.recommendation.settings
    bench = TargetBench(parse([str(EXAMPLE)], None), cwd=folder, log_folder=folder)
    try:
        bench.start()
        began = time.monotonic()
        points = grid(bench)
        grid_s = time.monotonic() - began
        best = max(points, key=lambda point: points[point])
        against = 1.0
        if best != chosen:
            compared = proof.prove(bench, best, chosen, time.monotonic() + 60)
            assert compared is not None
            against = compared.ratio
    finally:
        bench.stop()
    arguments = ["--epochs", "1", "--samples", "9600"]
    config = folder / "best.json"
    subprocess.run(
        [sys.executable, "-m", "gputune", "export", "--format", "json", "-o", str(config)], cwd=folder, check=True
    )
    alone = [sys.executable, str(EXAMPLE), *arguments[:2], "--samples", "1600"]
    applied = [sys.executable, "-m", "gputune", "run", "--config", str(config), str(EXAMPLE), *arguments]
    plain_rate, applied_rate = whole_epoch(alone, folder), whole_epoch(applied, folder)
    recommendation = run.recommendation
    figures.write(
        "latency_grid",
        {
            "recommended": str(chosen),
            "proved": {"ratio": recommendation.ratio, "low": recommendation.low, "high": recommendation.high},
            "wall_clock_s": round(wall_s, 1),
            "wall_clock_budget_s": 60,
            "bursts_of_the_search": len(run.trials),
            "grid": {str(point): round(rate, 1) for point, rate in points.items()},
            "grid_best": str(best),
            "grid_wall_clock_s": round(grid_s, 1),
            "recommended_over_grid_best": round(against, 4),
            "budget_over_grid_best": 0.95,
            "gputune_run_over_plain_whole_epochs": round(applied_rate / plain_rate, 3),
        },
    )


if __name__ == "__main__":
    main()
