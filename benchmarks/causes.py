"""Profiles small scripts with one injected fault each and prints which cause was named, and at what cost.

Run: python benchmarks/causes.py [--runs 5] [--held-out] [--only NAME ...] [--calm WRAPPER] [--write]

The truth is not gputune's: each script is timed by itself, with its fault and without it. A row is right when every
run named the injected cause (and its place, where there is a culprit) and said within 20 % what it costs. Every run
is a file under ``--parts``; what is there already is not measured again, so a long matrix can be made in pieces.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import figures
from causes_matrix import judged_rows, shown
from faults.amounts import HELD_OUT_SEED, TUNED, Amounts, drawn

from gputune import record, verdict

SCRIPT = Path(__file__).parent / "faults" / "train.py"
ATTEMPTS = 40
"""Campaigns of other people on the machine are waited for, five seconds at a time."""
SEARCHED = frozenset({"bandwidth"})
"""Faults that only other numbers of workers can tell."""
TRUTH_S = 5.0
WORTH_FINDING = 0.10
"""A draw whose fault costs less than this is no fault, and the next draw of the same seed takes its place."""
DRAWS = 5


class Bench:
    """Runs the scripts, each alone, and keeps what came out.

    Args:
        parts: folder of the files that hold one result each.
        python: interpreter with torch and tensorboard.
        calm: command in front of each measurement, which gives it the machine.
    """

    def __init__(self, parts: Path, python: str, calm: list[str]) -> None:
        self._parts, self._python, self._calm = parts, python, calm
        parts.mkdir(parents=True, exist_ok=True)
        self._env = os.environ | {"CAUSES_RECORDS": str(parts.absolute() / "records.bin")}

    def kept(self, name: str, measure: Any) -> Any:
        """Return a stored part, or measure and store it."""
        file = self._parts / f"{name}.json"
        if not file.exists():
            file.write_text(json.dumps(measure(), indent=1) + "\n", encoding="utf-8")
        return json.loads(file.read_text(encoding="utf-8"))

    def truth(self, fault: str, amounts: Amounts) -> dict[str, float]:
        """Return the rates with and without the fault, and the part of wall time that the fault costs."""
        rates = {kind: self._rate(fault, amounts, kind == "cured") for kind in ("faulty", "cured")}
        return {**rates, "cost": 1 - rates["faulty"] / rates["cured"]}

    def _rate(self, fault: str, amounts: Amounts, cured: bool) -> float:
        flags = ["--seconds", str(TRUTH_S), *(["--cured"] if cured else [])]
        with tempfile.TemporaryDirectory(prefix="causes-", dir=self._parts) as folder:
            command = [*self._calm, self._python, *self._script(fault, amounts), *flags]
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600, env=self._env)
        if done.returncode:
            raise SystemExit(f"{fault} failed by itself: {done.stderr.strip()[-400:]}")
        return float(json.loads(done.stdout)["samples_per_s"])

    def diagnosed(self, fault: str, amounts: Amounts) -> dict[str, Any]:
        """Profile one script and return what the verdict says."""
        with tempfile.TemporaryDirectory(prefix="causes-", dir=self._parts) as folder:
            file = Path(folder) / "run.json"
            search = ["--budget", "25"] if fault in SEARCHED else ["--no-search"]
            profile = ["-m", "gputune", "profile", "--quiet", *search, "--json", str(file)]
            command = [*self._calm, self._python, *profile, *self._script(fault, amounts)]
            for _ in range(ATTEMPTS):
                done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=900, env=self._env)
                if "another gputune campaign" not in done.stderr:
                    break
                time.sleep(5.0)
            if not file.exists():
                return {"cause": "none", "error": done.stderr.strip()[-400:], "exit": done.returncode}
            run = record.load(file)
        judged = verdict.of(run)
        base = run.baseline
        return {
            "cause": judged.cause.value,
            "place": judged.place,
            "cost": round(judged.cause_share, 4),
            "sentence": judged.cause_sentence,
            "need": judged.need_sentence,
            "also": [[found.cause.value, round(found.share, 4), found.sentence] for found in judged.findings],
            "samples_per_s": judged.samples_per_s,
            "ceiling_samples_per_s": judged.ceiling_samples_per_s,
            "wait_share": judged.wait_share,
            "other_cpu_cores": base.host.other_cpu_cores if base else None,
            "exit": done.returncode,
        }

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


def main() -> None:
    """Measure what is missing, print the matrix, write it where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--held-out", action="store_true", help="amounts drawn at random instead of the usual ones")
    parser.add_argument("--only", nargs="*", default=list(TUNED), choices=list(TUNED), metavar="NAME")
    parser.add_argument("--parts", type=Path, default=Path.home() / ".cache" / "gputune-causes")
    parser.add_argument("--calm", type=shlex.split, default=[], help="command in front of each measurement")
    parser.add_argument("--write", action="store_true", help="write results/reference/causes.json")
    parser.add_argument("--python", default=sys.executable, help="interpreter with torch (and tensorboard)")
    arguments = parser.parse_args()
    bench, kind = (
        Bench(arguments.parts, arguments.python, arguments.calm),
        "held_out" if arguments.held_out else "tuned",
    )
    measured: dict[str, Any] = {}
    for number in range(arguments.runs):
        for fault in arguments.only:
            if arguments.held_out:
                amounts, truth = bench.held_out(fault)
            else:
                amounts = TUNED[fault]
                truth = bench.kept(f"{kind}-{fault}-truth", lambda f=fault, a=amounts: bench.truth(f, a))
            run = bench.kept(f"{kind}-{fault}-{number}", lambda f=fault, a=amounts: bench.diagnosed(f, a))
            row = measured.setdefault(fault, {"amounts": asdict(amounts), "truth": truth, "runs": []})
            row["runs"].append(run)
            print(
                f"{number} {fault:27s}{run['cause']:18s}{run.get('cost', 0):6.1%} of {truth['cost']:6.1%}", flush=True
            )
    rows = judged_rows(measured)
    print(shown(rows))
    if arguments.write:
        file = figures.REFERENCE / "causes.json"
        before = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
        others = {name: before[name] for name in ("tuned", "held_out") if name in before}
        figures.write("causes", {**others, kind: rows, "held_out_seed": HELD_OUT_SEED})


if __name__ == "__main__":
    main()
