"""What the sandbox costs: to start a command in it, and to open a file inside.

    python benchmarks/sandbox.py [--repeats 15] [--output results/reference/sandbox.json]

A start is timed from ``launch()`` to the running command (``true``), beside the same command started
by ``subprocess`` alone. An open is open + read + close of a small warm file; all kinds take turns. The
figures are medians over the repeats; of the start also the least, to which other programs can only add.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from gputune.probes.sandbox import plan

BUDGET_START_S, BUDGET_OPEN_S = 0.050, 3e-6
OPENS = """
import os, sys, time
def once():
    descriptor = os.open("file", os.O_RDONLY); os.read(descriptor, 4096); os.close(descriptor)
for _ in range(2000): once()
best = []
for _ in range(20):
    began = time.perf_counter()
    for _ in range(1000): once()
    best.append((time.perf_counter() - began) / 1000)
os.write(int(sys.argv[1]), repr(min(best)).encode())
"""


def time_plain_start(folder: Path) -> float:
    began = time.perf_counter()
    subprocess.run(["true"], cwd=folder, check=True)
    return time.perf_counter() - began


def time_start(folder: Path, mode: plan.Mode) -> tuple[float, float, float]:
    """Return seconds from launch to running, the part of it that set up protection, and the whole life."""
    began = time.perf_counter()
    keeper = plan.launch(["true"], cwd=folder, env=os.environ, mode=mode)
    running = time.perf_counter() - began
    keeper.wait()
    return running, keeper.confinement.setup_s, time.perf_counter() - began


def time_open(folder: Path, mode: plan.Mode) -> float:
    read_end, write_end = os.pipe()
    command = [sys.executable, "-S", "-c", OPENS, str(write_end)]
    with plan.launch(command, cwd=folder, env=os.environ, mode=mode, pass_fds=[write_end]) as keeper:
        os.close(write_end)
        text = os.read(read_end, 100)
        os.close(read_end)
        keeper.wait()
    return float(text)


def measure(folder: Path, repeats: int) -> dict[str, object]:
    modes: tuple[plan.Mode, ...] = ("overlay", "landlock", "none")
    plain, opens = [], {mode: [] for mode in modes}
    starts: dict[str, list[tuple[float, float, float]]] = {mode: [] for mode in modes}
    for _ in range(repeats):
        plain.append(time_plain_start(folder))
        for mode in modes:
            starts[mode].append(time_start(folder, mode))
            opens[mode].append(time_open(folder, mode))
    middle = statistics.median
    start_s = {mode: [middle(column) for column in zip(*starts[mode], strict=True)] for mode in modes}
    open_s = {mode: middle(opens[mode]) for mode in modes}
    return {
        "repeats": repeats,
        "plain_start_s": middle(plain),
        "start_s": {mode: start_s[mode][0] for mode in modes},
        "start_least_s": {mode: min(start[0] for start in starts[mode]) for mode in modes},
        "setup_s": {mode: start_s[mode][1] for mode in modes},
        "start_and_burial_s": {mode: start_s[mode][2] for mode in modes},
        "open_s": open_s,
        "added_open_s": {mode: open_s[mode] - open_s["none"] for mode in modes if mode != "none"},
        "budget": {"start_s": BUDGET_START_S, "added_open_s": BUDGET_OPEN_S},
        "within_budget": {
            "start": start_s["overlay"][0] <= BUDGET_START_S,
            "open": open_s["overlay"] - open_s["none"] <= BUDGET_OPEN_S,
        },
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "file").write_bytes(bytes(4096))
        figures = measure(Path(folder), arguments.repeats)
    machine = {
        "kernel": platform.release(),
        "cpus": os.cpu_count(),
        "user": os.geteuid(),
        "load": os.getloadavg()[0],
    }
    figures = {"machine": machine, **figures}
    text = json.dumps(figures, indent=1) + "\n"
    if arguments.output:
        arguments.output.write_text(text)
    print(text, end="")
    return 0 if all(figures["within_budget"].values()) else 1


if __name__ == "__main__":
    sys.exit(main())
