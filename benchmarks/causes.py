"""Profiles small scripts with one injected fault each and prints which cause was named.

Run: python benchmarks/causes.py [--runs 1] [--only NAME ...] [--out results/reference/causes.json]
A row is right when every run named the injected cause; for faults with a culprit the place must name it, too.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from gputune import record, verdict
from gputune.cause import Cause

SCRIPT = Path(__file__).parent / "faults" / "train.py"
EXPECTED: dict[str, tuple[Cause, str]] = {
    "main_thread_loading": (Cause.MAIN_THREAD, "decode"),
    "cpu_bound_decode": (Cause.CPU, "decode"),
    "slow_transform": (Cause.CPU, "Sharpen"),
    "latency": (Cause.STORAGE, "Remote"),
    "bandwidth": (Cause.BANDWIDTH, "Pipe"),
    "tiny_samples": (Cause.QUEUE, ""),
    "heavy_tail": (Cause.SLOW_SAMPLES, "Tail"),
    "short_epochs": (Cause.WORKER_START, ""),
    "library_threads": (Cause.OVERSUBSCRIPTION, "Threads"),
    "too_few_cores": (Cause.CORES, "Heavy"),
    "main_thread_preprocessing": (Cause.MAIN_CODE, "prepare"),
    "blocking_log": (Cause.LOGGING, ""),
    "image_log": (Cause.LOGGING, ""),
    "large_checkpoint": (Cause.CHECKPOINT, ""),
    "long_validation": (Cause.VALIDATION, ""),
    "slow_validation_loader": (Cause.VALIDATION_LOADER, ""),
    "no_loader": (Cause.NO_LOADER, "decode"),
    "healthy_from_memory": (Cause.STEP, ""),
    "healthy_fed": (Cause.STEP, ""),
    "healthy_with_events": (Cause.STEP, ""),
}
ATTEMPTS = 40
"""Campaigns of other people on the machine are waited for, five seconds at a time."""
SEARCHED = frozenset({"bandwidth"})
"""Faults that only other numbers of workers can tell."""


def diagnosed(fault: str, python: str) -> dict[str, Any]:
    """Profile one script and return what the verdict says."""
    with tempfile.TemporaryDirectory(prefix="causes-", dir=Path.home()) as folder:
        file = Path(folder) / "run.json"
        search = ["--budget", "25"] if fault in SEARCHED else ["--no-search"]
        command = [python, "-m", "gputune", "profile", "--quiet", *search, "--json", str(file), str(SCRIPT), fault]
        for _ in range(ATTEMPTS):
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, env=os.environ)
            if "another gputune campaign" not in done.stderr:
                break
            time.sleep(5.0)
        if not file.exists():
            return {"cause": "none", "error": done.stderr.strip()[-400:], "exit": done.returncode}
        judged = verdict.of(record.load(file))
    place = judged.place
    return {
        "cause": judged.cause.value,
        "place": place,
        "cost": round(judged.cause_share, 3),
        "sentence": judged.cause_sentence,
        "also": [[found.cause.value, round(found.share, 3)] for found in judged.findings],
        "exit": done.returncode,
    }


def main() -> None:
    """Profile all scripts, print the matrix, write it where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--only", nargs="*", default=list(EXPECTED), choices=list(EXPECTED), metavar="NAME")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--add", action="store_true", help="keep the other rows of the file")
    parser.add_argument("--python", default=sys.executable, help="interpreter with torch (and tensorboard)")
    arguments = parser.parse_args()
    rows: dict[str, Any] = {}
    print(f"{'injected':27s}{'expected':18s}{'named (share of wall time)':40s}right")
    for fault in arguments.only:
        cause, culprit = EXPECTED[fault]
        runs = [diagnosed(fault, arguments.python) for _ in range(arguments.runs)]
        right = sum(run["cause"] == cause.value for run in runs)
        placed = sum(culprit in run.get("place", "") for run in runs) if culprit else None
        rows[fault] = {"expected": cause.value, "culprit": culprit, "right": right, "placed": placed, "runs": runs}
        named = ", ".join(f"{run['cause']} ({run.get('cost', 0):.0%})" for run in runs)
        where = "" if placed is None else f", place {placed}/{len(runs)}"
        print(f"{fault:27s}{cause.value:18s}{named:40s}{right}/{len(runs)}{where}", flush=True)
    print(f"\n{sum(row['right'] == arguments.runs for row in rows.values())} of {len(rows)} named right in every run")
    if arguments.out:
        if arguments.add and arguments.out.exists():
            rows = json.loads(arguments.out.read_text())["matrix"] | rows
        machine = f"{platform.machine()}, {os.cpu_count()} cores, no GPU" if not torch.cuda.is_available() else "GPU"
        head = {"measured": datetime.date.today().isoformat(), "machine": machine, "torch": str(torch.__version__)}
        arguments.out.write_text(json.dumps({**head, "runs": arguments.runs, "matrix": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
