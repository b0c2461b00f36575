"""Profiles small scripts with one injected fault each and prints which cause was named, and at what cost.

Run: python benchmarks/causes.py [--runs 5] [--held-out] [--only NAME ...] [--seconds 150] [--write]

The truth is not gputune's: each script is timed by itself, with its fault and without it. A row is right when every
run named the injected cause (and its place, where there is a culprit) and said within 20 % what it costs. Every run
is a file under ``--parts``; what is there already is not measured again, so a long matrix can be made in pieces:
with ``--seconds`` nothing new is begun after that time and the exit status is 75 until nothing is missing;
``--seconds 0`` judges what there is.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import figures
import priority
from causes_matrix import NEEDS_A_GPU, judged_rows, shown
from faults.amounts import HELD_OUT_SEED, TUNED, Amounts, drawn

from gputune import record, verdict
from gputune.errors import RecordError

SCRIPT = Path(__file__).parent / "faults" / "train.py"
ATTEMPTS = 40
"""Campaigns of other people on the machine are waited for, five seconds at a time."""
SEARCHED = frozenset({"bandwidth"})
"""Faults that only other numbers of workers can tell."""
TRUTH_S = 5.0
WORTH_FINDING = 0.10
"""A draw whose fault costs less than this is no fault, and the next draw of the same seed takes its place."""
DRAWS = 5


class TimeIsOver(Exception):
    """What is missing is left for the next call."""


class Bench:
    """Runs the scripts, each alone, and keeps what came out.

    Args:
        parts: folder of the files that hold one result each.
        python: interpreter with torch and tensorboard.
        seconds: no measurement is begun later than this.
    """

    def __init__(self, parts: Path, python: str, seconds: float) -> None:
        self._parts, self._python, self._until_s = parts, python, time.monotonic() + seconds
        parts.mkdir(parents=True, exist_ok=True)
        self._env = os.environ | {"CAUSES_RECORDS": str(parts.absolute() / "records.bin")}

    def kept(self, name: str, measure: Any) -> Any:
        """Return a stored part, or measure and store it."""
        file = self._parts / f"{name}.json"
        if not file.exists():
            if time.monotonic() > self._until_s:
                raise TimeIsOver(name)
            file.write_text(json.dumps(measure(), indent=1) + "\n", encoding="utf-8")
        return json.loads(file.read_text(encoding="utf-8"))

    def truth(self, fault: str, amounts: Amounts) -> dict[str, float]:
        """Return the rates with and without the fault, and the part of wall time that the fault costs."""
        rates = {kind: self._rate(fault, amounts, kind == "cured") for kind in ("faulty", "cured")}
        return {**rates, "cost": 1 - rates["faulty"] / rates["cured"]}

    def _rate(self, fault: str, amounts: Amounts, cured: bool) -> float:
        flags = ["--seconds", str(TRUTH_S), *(["--cured"] if cured else [])]
        with tempfile.TemporaryDirectory(prefix="causes-", dir=self._parts) as folder:
            command = [self._python, *self._script(fault, amounts), *flags]
            done = priority.run(command, cwd=folder, timeout_s=600, env=self._env)
        if done.returncode:
            raise SystemExit(f"{fault} failed by itself: {done.stderr.strip()[-400:]}")
        return float(json.loads(done.stdout)["samples_per_s"])

    def profiled(self, name: str, fault: str, amounts: Amounts) -> Path:
        """Return the file of a stored run, or profile the script; without a run it holds what went wrong."""
        file = self._parts / f"{name}.run.json"
        if file.exists():
            return file
        if time.monotonic() > self._until_s:
            raise TimeIsOver(name)
        with tempfile.TemporaryDirectory(prefix="causes-", dir=self._parts) as folder:
            made = Path(folder) / "run.json"
            search = ["--budget", "25"] if fault in SEARCHED else ["--no-search"]
            profile = ["-m", "gputune", "profile", "--quiet", *search, "--json", str(made)]
            command = [self._python, *profile, *self._script(fault, amounts)]
            for _ in range(ATTEMPTS):
                done = priority.run(command, cwd=folder, timeout_s=900, env=self._env)
                if "another gputune campaign" not in done.stderr:
                    break
                time.sleep(5.0)
            file.write_bytes(made.read_bytes() if made.exists() else json.dumps({"error": done.stderr[-400:]}).encode())
        return file

    def _script(self, fault: str, amounts: Amounts) -> list[str]:
        return [str(SCRIPT), fault, "--amounts", json.dumps(asdict(amounts))]

    def held_out(self, fault: str) -> tuple[Amounts, dict[str, float]]:
        """Return the first draw whose fault is worth finding, with its truth."""
        for draw in range(DRAWS):
            amounts = drawn(fault, draw)
            truth = self.kept(f"held_out-{fault}-truth-{draw}", lambda amounts=amounts: self.truth(fault, amounts))
            if fault.startswith("healthy") or truth["cost"] >= WORTH_FINDING:
                break
        return amounts, truth


def said(file: Path) -> dict[str, Any]:
    """Return what the verdict on a stored run says; verdicts are functions of the run alone."""
    try:
        run = record.load(file)
    except RecordError:
        return {"cause": "none", "error": file.read_text(encoding="utf-8")}
    judged, base = verdict.of(run), run.baseline
    return {
        "cause": judged.cause.value,
        "place": judged.place,
        "cost": round(judged.cause_share, 4),
        "sentence": judged.cause_sentence,
        "also": [[found.cause.value, round(found.share, 4)] for found in judged.findings],
        "other_cpu_cores": round(base.host.other_cpu_cores, 2) if base and base.host.other_cpu_cores else None,
    }


def measure(bench: Bench, fault: str, number: int, row: dict[str, Any], *, held_out: bool) -> None:
    """Add one run to a row."""
    if held_out:
        kind, (amounts, truth) = "held_out", bench.held_out(fault)
    else:
        kind, amounts = "tuned", TUNED[fault]
        truth = bench.kept(f"tuned-{fault}-truth", lambda: bench.truth(fault, amounts))
    run = said(bench.profiled(f"{kind}-{fault}-{number}", fault, amounts))
    row.update(amounts=asdict(amounts), truth=truth)
    row["runs"].append(run)
    print(f"{number} {fault:27s}{run['cause']:18s}{run.get('cost', 0):6.1%} of {truth['cost']:.1%}", flush=True)


def main() -> None:
    """Measure what is missing, print the matrix, write it where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--held-out", action="store_true", help="amounts drawn at random instead of the usual ones")
    parser.add_argument("--only", nargs="*", default=list(TUNED), choices=list(TUNED), metavar="NAME")
    parser.add_argument("--parts", type=Path, default=Path.home() / ".cache" / "gputune-causes")
    parser.add_argument("--seconds", type=float, default=math.inf, help="begin no measurement after this long")
    parser.add_argument("--write", action="store_true", help="write results/reference/causes.json")
    parser.add_argument("--python", default=sys.executable, help="interpreter with torch (and tensorboard)")
    arguments = parser.parse_args()
    bench, kind = (
        Bench(arguments.parts, arguments.python, arguments.seconds),
        "held_out" if arguments.held_out else "tuned",
    )
    measured: dict[str, Any] = {}
    missing = []
    for number in range(arguments.runs):
        for fault in arguments.only:
            try:
                measure(bench, fault, number, measured.setdefault(fault, {"runs": []}), held_out=arguments.held_out)
            except TimeIsOver as name:
                missing.append(str(name))
    measured = {fault: row for fault, row in measured.items() if row["runs"]}
    rows = judged_rows(measured)
    print(shown(rows))
    if arguments.write:
        file = figures.REFERENCE / "causes.json"
        before = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
        others = {name: before[name] for name in ("tuned", "held_out") if name in before}
        figures.write("causes", {**others, kind: rows, "held_out_seed": HELD_OUT_SEED, "not_measured": NEEDS_A_GPU})
    if missing:
        print(f"{len(missing)} of the results are missing: call it again to go on with {missing[0]}")
        raise SystemExit(75)


if __name__ == "__main__":
    main()
