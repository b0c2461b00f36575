"""Takes one stack through what a user does: profile, run, and profile what is already optimal."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import psutil
from stacks import PYTHON, TARGETS, Stack

from gputune import record
from gputune.record import Run

SAMPLES = 800
ENDLESS = 400_000
BUDGET_S = 8
VERDICT_S = 90.0
"""A user knows within this time."""


class Row(msgspec.Struct, kw_only=True):
    """What one stack showed; ``reason`` says why it was not run, or what failed."""

    title: str
    library: str
    version: str = ""
    reason: str = ""
    measured: str = ""
    tuned: str = ""
    applied: str = ""
    optimal: str = ""
    verdict_s: float = 0.0

    def cells(self) -> list[str]:
        """Return the row as the matrix shows it."""
        name = f"{self.library} {self.version}".strip()
        if self.reason:
            return [self.title, name, self.reason, "", "", "", ""]
        return [
            self.title, name, self.measured, self.tuned, self.applied, self.optimal, f"{self.verdict_s:.0f}",
        ]  # fmt: skip


HEADS = ["stack", "version", "measured", "tuned", "applied by `run`", "already optimal", "verdict s"]


class Finished(msgspec.Struct):
    """A target that ran to its end."""

    seen: list[int]
    seconds: float
    stderr: str


def walk(stack: Stack, folder: Path) -> Row:
    """Return the stack's row; what does not hold raises ``AssertionError``."""
    row = Row(title=stack.title, library=stack.library, version=stack.version)
    shell = {**os.environ, "XDG_CACHE_HOME": str(folder / "cache"), "COLUMNS": "100", "PYTHONWARNINGS": "ignore"}
    began = time.monotonic()
    run = _profile(stack, 0, folder, shell)
    row.verdict_s = time.monotonic() - began
    _check_found(stack, run)
    assert run.baseline is not None
    row.measured = f"waits {100 * sum(run.baseline.wait_s) / sum(run.baseline.period_s):.0f} %"
    if stack.untuned:
        assert run.recommendation is None
        row.tuned = stack.untuned
    else:
        _apply(stack, run, row, folder, shell)
    healthy = _profile(stack, 2, folder, shell)
    assert healthy.outcome is record.Outcome.NOTHING_TO_GAIN, f"{healthy.outcome} for 2 workers that keep up"
    row.optimal = "nothing to gain"
    _check_none_left(stack)
    assert row.verdict_s < VERDICT_S, f"the verdict took {row.verdict_s:.0f} s"
    return row


def _apply(stack: Stack, run: Run, row: Row, folder: Path, shell: dict[str, str]) -> None:
    """Run the script as it is and with what was recommended for it."""
    assert run.outcome is record.Outcome.RECOMMENDED, f"{run.outcome}: {run.stopped_because}"
    assert run.recommendation is not None
    chosen = run.recommendation
    row.tuned = f"{chosen.settings.num_workers} workers, {chosen.ratio:.1f}x ({chosen.low:.1f}-{chosen.high:.1f})"
    plain = _finish([*PYTHON, *stack.command(SAMPLES)], folder, shell)
    tuned = _finish([sys.executable, "-m", "gputune", "run", *stack.command(SAMPLES)], folder, shell)
    assert f"num_workers 0 -> {chosen.settings.num_workers}" in tuned.stderr, tuned.stderr
    assert sorted(tuned.seen) == sorted(plain.seen), "the model must see the same samples"
    assert tuned.seconds < plain.seconds, f"{tuned.seconds:.2f} s against {plain.seconds:.2f} s"
    order = "same order" if tuned.seen == plain.seen else "same samples"
    row.applied = f"{plain.seconds / tuned.seconds:.1f}x, {order}"


def _profile(stack: Stack, workers: int, folder: Path, shell: dict[str, str]) -> Run:
    out = folder / f"run-{workers}.json"
    words = ["profile", "--quiet", "--budget", str(BUDGET_S), "--json", str(out), *stack.command(ENDLESS, workers)]
    done = subprocess.run(
        [sys.executable, "-m", "gputune", *words], cwd=folder, env=shell, capture_output=True, text=True, timeout=400,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return record.load(out)


def _check_found(stack: Stack, run: Run) -> None:
    site = run.loader
    assert site is not None
    assert site.role == stack.role
    assert (site.user_file or site.file, site.user_line or site.line) == (str(TARGETS / stack.script), stack.line())


def _finish(command: list[str], folder: Path, shell: dict[str, str]) -> Finished:
    done = subprocess.run(command, cwd=folder, env=shell, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    told = dict(line.split(" ", 1) for line in done.stdout.splitlines() if line.startswith(("SEEN ", "SECONDS ")))
    return Finished([int(part) for part in told["SEEN"].split(",")], float(told["SECONDS"]), done.stderr)


def _check_none_left(stack: Stack, patience_s: float = 10.0) -> None:
    deadline = time.monotonic() + patience_s
    words = (str(TARGETS / stack.script), stack.shape)
    while left := [p for p in psutil.process_iter(["cmdline"]) if set(words) <= set(p.info["cmdline"] or [])]:
        assert time.monotonic() < deadline, f"still running: {left}"
        time.sleep(0.2)


def table(rows: list[Row]) -> str:
    """Return the matrix in Markdown."""
    lines = [HEADS, ["---"] * len(HEADS), *(row.cells() for row in rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
