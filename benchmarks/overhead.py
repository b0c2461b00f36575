"""What gputune costs: start-up, each step, memory, a swap, and ``--help``.

    python benchmarks/overhead.py

Every figure is measured against the same script without gputune in the same run, several times in turn; medians.
Budgets are in DESIGN terms: 50 us a step while measuring, 5 us under ``gputune run``, 1.5 s of start-up, 100 ms for
``--help``, 200 MB for the tuner, 50 MB for the agent, 0.3 s a swap.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import figures
import msgspec
import psutil

from gputune.probes import attach
from gputune.probes.agent.apply import ApplyConfig, LoaderConfig
from gputune.probes.burst import Purpose
from gputune.probes.protocol import Length, Measure, Measured
from gputune.probes.settings import Settings
from gputune.probes.target import Target, TargetGone

HERE = Path(__file__).parent
TIGHT = HERE / "targets" / "tight_loop.py"
LATENCY = HERE.parent / "tests" / "targets" / "latency.py"
BATCHES = 12_000
ROUNDS = 5


def us_per_step(text: str) -> float:
    found = re.search(r"US_PER_STEP ([\d.]+)", text)
    assert found, text
    return float(found[1])


def plain_step() -> float:
    done = subprocess.run([sys.executable, TIGHT, str(BATCHES)], capture_output=True, text=True, check=True)
    return us_per_step(done.stdout)


def applied_step() -> float:
    entry = LoaderConfig(file=str(TIGHT), line=22, settings=Settings())
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        file.write(msgspec.json.encode(ApplyConfig(loaders=[entry])))
        file.flush()

        env = attach.environment(os.environ, mode="apply", scope="self", config=file.name)
        done = subprocess.run(
            [sys.executable, TIGHT, str(BATCHES)], capture_output=True, text=True, check=True, env=env
        )
    return us_per_step(done.stdout)


def measured_step() -> float:
    target = Target([sys.executable, str(TIGHT), str(BATCHES)], cwd=HERE)
    try:
        hello = target.hello(60)
        length = Length(min_batches=10**9, min_s=10**6, max_s=10**6)
        target.measure(Measure(id=1, purpose=Purpose.BASELINE, settings=hello.loader.settings, length=length))
    except TargetGone as gone:
        return us_per_step(gone.tail)
    finally:
        target.stop()
    raise AssertionError("the script must end by itself")


def start_and_memory() -> dict[str, float]:
    """Return seconds from nothing to the conducted loop against plain Python, and what the agent adds in memory."""
    plain_s, plain_rss = _plain_start()
    began = time.monotonic()
    target = Target([sys.executable, str(LATENCY)], cwd=HERE)
    try:
        target.hello(60)
        attached_s = time.monotonic() - began
        rss = psutil.Process(target.pid).memory_info().rss
    finally:
        target.stop()
    return {"plain_s": plain_s, "attached_s": attached_s, "plain_rss": plain_rss, "rss": rss}


def _plain_start() -> tuple[float, float]:
    """Return how long the script takes to its third batch without us, and its resident memory there."""
    source = LATENCY.read_text().replace(
        "for x, y in loader:", "for k, (x, y) in enumerate(loader):\n        report(k)"
    )
    prologue = (
        "def report(k):\n    if k == 2:\n        import os, resource\n"
        "        rss = int(open('/proc/self/statm').read().split()[1]) * 4096\n"
        "        print('READY', rss, flush=True); os._exit(0)\n"
    )
    with tempfile.NamedTemporaryFile("w", suffix=".py") as file:
        file.write(prologue + source)
        file.flush()
        began = time.monotonic()
        done = subprocess.run([sys.executable, file.name], capture_output=True, text=True)
        elapsed_s = time.monotonic() - began
    return elapsed_s, float(done.stdout.split()[1])


def swap_costs() -> list[float]:
    """Return the time from an order to its first batch, less one service time, over several swaps."""
    target = Target([sys.executable, str(LATENCY), "0.001", "0.005"], cwd=HERE)
    costs = []
    try:
        target.hello(60)
        for number, workers in enumerate((2, 4, 0, 6, 1, 3, 8, 2), start=1):
            order = Measure(
                id=number,
                purpose=Purpose.TRIAL,
                settings=Settings.make(num_workers=workers),
                length=Length(warmup_batches=1, min_batches=8, min_s=0.0, precision=10.0),
            )
            answer = target.measure(order)
            assert isinstance(answer, Measured)
            service_s = median(batch.fetch_s + batch.collate_s for batch in answer.burst.workers)
            costs.append(max(0.0, answer.burst.first_batch_s - service_s))
    finally:
        target.stop()
    return costs


def help_s() -> float:
    began = time.monotonic()
    subprocess.run([sys.executable, "-m", "gputune", "--help"], capture_output=True, check=True)
    return time.monotonic() - began


def python_s() -> float:
    began = time.monotonic()
    subprocess.run([sys.executable, "-c", "pass"], capture_output=True, check=True)
    return time.monotonic() - began


def tuner_rss() -> int:
    """Return the largest resident memory of the tuner's own process during a whole campaign."""
    with tempfile.TemporaryDirectory() as folder:
        child = subprocess.Popen(
            [sys.executable, "-m", "gputune", "profile", "--budget", "15", str(LATENCY)],
            cwd=folder, stderr=subprocess.DEVNULL, env={**os.environ, "XDG_CACHE_HOME": folder},
        )  # fmt: skip
        largest = 0
        while child.poll() is None:
            try:
                largest = max(largest, psutil.Process(child.pid).memory_info().rss)
            except psutil.NoSuchProcess:
                break
            time.sleep(0.05)
        assert child.returncode == 0, "the campaign failed"
    return largest


def main() -> None:
    steps = [(plain_step(), measured_step(), applied_step()) for _ in range(ROUNDS)]
    starts = [start_and_memory() for _ in range(3)]
    figures.write(
        "overhead",
        {
            "step_us": {
                "plain": round(median(step[0] for step in steps), 2),
                "added_while_measuring": round(median(step[1] - step[0] for step in steps), 2),
                "added_under_run": round(median(step[2] - step[0] for step in steps), 2),
                "budget_measuring": 50,
                "budget_run": 5,
            },
            "start_s": {
                "added": round(median(start["attached_s"] - start["plain_s"] for start in starts), 3),
                "budget": 1.5,
            },
            "help_s": {
                "median": round(median(help_s() for _ in range(7)), 4),
                "of_which_python": round(median(python_s() for _ in range(7)), 4),
                "budget": 0.1,
            },
            "swap_s": {"each": [round(cost, 3) for cost in swap_costs()], "budget": 0.3},
            "memory_mb": {
                "agent_adds": round(median((start["rss"] - start["plain_rss"]) / 1e6 for start in starts), 1),
                "agent_budget": 50,
                "tuner_largest": round(tuner_rss() / 1e6, 1),
                "tuner_budget": 200,
            },
        },
    )


if __name__ == "__main__":
    main()
