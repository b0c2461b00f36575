"""How long saving blocks the training loop, and what the writer does to its rate, side by side in one run.

    python benchmarks/checkpoint.py [--megabytes 500] [--rounds 3] [--out results/reference/checkpoint.json]

Compared: ``torch.save``, ours with a writer thread and a writer process, and
``torch.distributed.checkpoint.async_save``.
Two loops: matrix products on one core (competes for CPU) and Python with short sleeps (a loop that waits
for a GPU and
suffers from a held GIL).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from gputune.probes.runtime.checkpoint.saver import AsyncSaver, torch_save

Begin = Callable[[dict[str, Any], str], Callable[[], bool]]
"""Starts a save and returns a function that tells whether the file is complete."""


MATRIX = torch.rand(192, 192)


def matmul_step() -> None:
    torch.mm(MATRIX, MATRIX)


def gpu_like_step() -> None:
    sum(range(2000))
    time.sleep(0.002)


LOOPS = {"matmul": matmul_step, "python_and_sleep": gpu_like_step}


def make_state(megabytes: int) -> dict[str, Any]:
    size = max(1, megabytes * (1 << 20) // (4 * 1024 * 1024 * 4))
    return {f"layer.{n}.weight": torch.rand(1024, 1024 * 4) for n in range(size)}


def rate(step: Callable[[], None], seconds: float) -> float:
    done, started = 0, time.perf_counter()
    while time.perf_counter() - started < seconds:
        step()
        done += 1
    return done / (time.perf_counter() - started)


def save_synchronously(state: dict[str, Any], path: str) -> Callable[[], bool]:
    torch_save(state, path)
    return lambda: True


def save_ours(writer: Any) -> Begin:
    saver = AsyncSaver(writer)

    def begin(state: dict[str, Any], path: str) -> Callable[[], bool]:
        saver.save(state, path)
        return lambda: not saver.pending

    return begin


def save_dcp(state: dict[str, Any], path: str) -> Callable[[], bool]:
    from torch.distributed import checkpoint

    future = checkpoint.async_save(state, checkpoint_id=path, no_dist=True)
    return future.done


def measure(begin: Begin, state: dict[str, Any], folder: str, figures: dict[str, Any]) -> None:
    """Add one round: blocking time, and the rate of each loop while writing as a share of its rate
    without."""
    for loop, step in LOOPS.items():
        undisturbed = rate(step, 0.5)
        started = time.perf_counter()
        complete = begin(state, os.path.join(folder, f"{loop}.pt"))
        called = time.perf_counter()
        steps = 0
        while not complete():
            step()
            steps += 1
        ended = time.perf_counter()
        os.sync()  # one contestant's dirty pages are not the next one's problem
        figures.setdefault("call_s", []).append(called - started)
        figures.setdefault("complete_s", []).append(ended - started)
        if ended - called > 0.1:
            share = steps / (ended - called) / statistics.mean([undisturbed, rate(step, 0.5)])
            figures.setdefault(f"rate_while_writing_{loop}", []).append(share)


def summary(figures: dict[str, Any]) -> dict[str, Any]:
    calls = figures["call_s"]
    row = {
        "first_call_s": calls[0],
        "later_call_s": statistics.median(calls[1:]),
        "complete_s": statistics.median(figures["complete_s"]),
    }
    row.update({k: statistics.median(v) for k, v in figures.items() if k.startswith("rate")})
    return {key: round(value, 4) for key, value in row.items()}


def bare_copy_s(state: dict[str, Any]) -> float:
    """Return the seconds to copy the state into memory that has been touched before."""
    copies = {name: torch.empty_like(tensor).zero_() for name, tensor in state.items()}
    times = []
    for _ in range(5):
        started = time.perf_counter()
        for name, tensor in state.items():
            copies[name].copy_(tensor)
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    state = make_state(options.megabytes)
    contestants: dict[str, Begin] = {
        "torch.save": save_synchronously,
        "ours, thread": save_ours("thread"),
        "ours, process": save_ours("process"),
        "dcp.async_save": save_dcp,
    }
    result: dict[str, Any] = {
        "megabytes": sum(t.nbytes for t in state.values()) >> 20,
        "bare_copy_s": round(bare_copy_s(state), 4),
        "machine": {"cpus": os.cpu_count(), "torch": torch.__version__, "python": platform.python_version()},
        "load_average_before": os.getloadavg()[0],
        "contestants": {},
    }
    figures: dict[str, dict[str, Any]] = {name: {} for name in contestants}
    folder = tempfile.mkdtemp(prefix="gputune-bench-", dir=os.environ.get("BENCH_DIR"))
    try:
        for round_ in range(options.rounds):
            # Interleaved, so that a noisy minute of a shared machine hits all of them.
            for name, begin in contestants.items():
                os.makedirs(where := os.path.join(folder, str(round_), name))
                measure(begin, state, where, figures[name])
                shutil.rmtree(where)
    finally:
        shutil.rmtree(folder)
    for name, found in figures.items():
        result["contestants"][name] = summary(found)
        print(f"{name:16} {result['contestants'][name]}", file=sys.stderr)
    text = json.dumps(result, indent=1)
    print(text)
    if options.out:
        options.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
