"""What the search finds on real processes, against the exhaustive grid, restarts, Optuna's TPE and train-doctor.

    python benchmarks/search_real.py                     # everything that is missing, then the table
    python benchmarks/search_real.py --only latency --strategy profile --again
    python benchmarks/search_real.py --table

Each script and strategy is one measurement (under three minutes) and is kept in results/reference/search_real.json at
once, so that a run can be continued. ``judge`` then compares what each strategy chose with the best of the grid in
alternating pairs of one process. ``shared_memory`` runs in a mount namespace of its own with a /dev/shm of 64 MB, what
Docker gives by default; that needs root. ``TRAIN_DOCTOR`` names the executable of train-doctor, which is left out
without it.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import figures
import msgspec
import real_strategies as strategies

from gputune.probes.settings import SETTINGS, Settings
from gputune.space import WORKERS_PER_CORE

SCRIPTS = ("latency", "decode", "tiny", "tail", "shared_memory", "short_epochs", "optimal", "checkpoint")
STRATEGIES: dict[str, Callable[[str], strategies.Choice]] = {
    "grid": strategies.grid,
    "profile": strategies.profile,
    "restarts": strategies.restarts,
    "tpe": strategies.tpe,
    "train_doctor": strategies.train_doctor,
}
CHOOSERS = tuple(name for name in STRATEGIES if name != "grid")
SMALL_SHM = 'mount -t tmpfs -o size=64m tmpfs /dev/shm && exec "$@"'
INSIDE = "SEARCH_REAL_SMALL_SHM"
FILE = figures.REFERENCE / "search_real.json"


def measure(kind: str, strategy: str, rows: dict[str, Any]) -> dict[str, Any]:
    """Return one measurement, with the load it was taken under."""
    load = os.getloadavg()[0]
    if strategy == "judge":
        row = rows[kind]
        chosen = {name: msgspec.convert(row[name]["recommended"], Settings) for name in CHOOSERS if name in row}
        result: dict[str, Any] = strategies.judge(kind, chosen, msgspec.convert(row["grid"]["recommended"], Settings))
    else:
        result = STRATEGIES[strategy](kind)
    now = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
    return {**result, "measured_at": now, "load_average_before": round(load, 2)}


def in_small_shm(arguments: list[str]) -> int:
    """Run this benchmark again where /dev/shm is small."""
    command = ["unshare", "--mount", "sh", "-c", SMALL_SHM, "sh", sys.executable, __file__, *arguments]
    return subprocess.run(command, env={**os.environ, INSIDE: "1"}).returncode


def stored() -> dict[str, Any]:
    return dict(json.loads(FILE.read_text())["scripts"]) if FILE.exists() else {}


def keep(kind: str, strategy: str, result: dict[str, Any]) -> None:
    """Add one measurement to the file."""
    rows = stored()
    rows.setdefault(kind, {})[strategy] = result
    figures.store("search_real", {"summary": summary(rows), "scripts": rows})


def summary(rows: dict[str, Any]) -> dict[str, Any]:
    """Return the figures the acceptance asks for, over the scripts that were judged."""
    found: dict[str, Any] = {}
    for name in CHOOSERS:
        done = [row for row in rows.values() if name in row.get("judge", {})]
        if not done:
            continue
        ratios = [row["judge"][name]["ratio"] for row in done]
        wall_s, grid_s = (sum(row[which]["wall_clock_s"] for row in done) for which in (name, "grid"))
        proof_s = sum(row[name].get("phases_s", {}).get("proof", 0.0) for row in done)
        proofs = [row[name]["proved"] for row in done if row[name].get("proved")]
        found[name] = {
            "scripts": len(done),
            "of_grid_best_geometric_mean": round(statistics.geometric_mean(max(r, 1e-3) for r in ratios), 3),
            "of_grid_best_worst": round(min(ratios), 3),
            "bursts_median": statistics.median(row[name]["bursts"] for row in done),
            "wall_clock_s_total": round(wall_s, 1),
            "grid_wall_clock_s_total": round(grid_s, 1),
            "wall_clock_of_grid": round(wall_s / grid_s, 3),
            "wall_clock_before_the_proof_of_grid": round((wall_s - proof_s) / grid_s, 3),
            "wall_clock_of_whole_space_estimated": round(wall_s / sum(map(whole_space_s, done)), 3),
            "proofs_that_include_a_loss": sum(low < 1 for _, low, _ in proofs),
            "infeasible_trials": sum(row[name].get("infeasible", 0) for row in done),
        }
    return found


def whole_space_s(row: dict[str, Any]) -> float:
    """Return an estimate of what a grid over all that ``profile`` may choose from would take, as long a point."""
    workers = [n for n in SETTINGS["num_workers"].choices if 0 < n <= WORKERS_PER_CORE * (os.cpu_count() or 1)]
    points = 1 + len(workers) * len(SETTINGS["prefetch_factor"].choices) * len(SETTINGS["persistent_workers"].choices)
    return float(points * row["grid"]["wall_clock_s"] / row["grid"]["bursts"])


def table(rows: dict[str, Any]) -> str:
    """Return the measurements as lines: choice, share of the grid's best, bursts, seconds."""
    lines = []
    for kind, row in rows.items():
        best = row.get("grid")
        head = f"best of {best['bursts']} points in {best['wall_clock_s']:.0f} s: {_short(best)}" if best else ""
        lines.append(f"{kind:15s}{head}")
        for name in CHOOSERS:
            if name not in row:
                continue
            judged, mine = row.get("judge", {}).get(name), row[name]
            share = f"{judged['ratio']:6.3f} ({judged['low']:.3f}-{judged['high']:.3f})" if judged else "not judged"
            lines.append(
                f"  {name:13s}{share:24s}{mine['bursts']:4d} bursts{mine['wall_clock_s']:7.0f} s  {_short(mine)}"
            )
    return "\n".join([*lines, "", json.dumps(summary(rows), indent=1)])


def _short(choice: dict[str, Any]) -> str:
    return str(msgspec.convert(choice["recommended"], Settings)).replace("pin_memory=False", "").replace("  ", " ")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", default=list(SCRIPTS), choices=SCRIPTS, metavar="SCRIPT")
    parser.add_argument("--strategy", nargs="*", default=[*STRATEGIES, "judge"], choices=[*STRATEGIES, "judge"])
    parser.add_argument("--again", action="store_true", help="also what is there already")
    parser.add_argument("--table", action="store_true", help="only sum up and show what is there")
    arguments = parser.parse_args()
    if arguments.table and FILE.exists():
        figures.store("search_real", {"summary": summary(stored()), "scripts": stored()})
    if not arguments.table:
        for kind in arguments.only:
            for strategy in arguments.strategy:
                _one(kind, strategy, again=arguments.again)
    print(table(stored()))
    return 0


def _one(kind: str, strategy: str, *, again: bool) -> None:
    rows = stored()
    if strategy in rows.get(kind, {}) and not again:
        return
    if strategy == "judge" and "grid" not in rows.get(kind, {}):
        print(f"{kind}: nothing to judge by without the grid", file=sys.stderr)
    elif strategy == "train_doctor" and not shutil.which(os.environ.get("TRAIN_DOCTOR", "train-doctor")):
        print("train-doctor is not installed: left out", file=sys.stderr)
    elif kind == "shared_memory" and INSIDE not in os.environ:
        in_small_shm(["--only", kind, "--strategy", strategy, "--again"])
    else:
        keep(kind, strategy, measure(kind, strategy, rows))


if __name__ == "__main__":
    raise SystemExit(main())
