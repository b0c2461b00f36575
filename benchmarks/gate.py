"""How often does `gputune check` cry wolf, and how often does it miss one?

A baseline of ``examples/remote_storage.py`` is saved, then the script is checked again and again: unchanged (A/A, every
third time beside a neighbour that loads a core half of the time), and with a pause injected into every step that
lengthens it by 8 % and by 30 % (A/B). ``max_regression = 5%``.

    python benchmarks/gate.py --same 100 --small 100 --large 100
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "examples" / "remote_storage.py"
RESULT = ROOT / "results" / "reference" / "gate.json"
VERDICTS = {0: "pass", 1: "fail", 3: "inconclusive"}
NEIGHBOUR = """
import time
while True:
    began_s = time.monotonic()
    while time.monotonic() - began_s < 0.05:
        pass
    time.sleep(0.05)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--same", type=int, default=10, help="A/A checks")
    parser.add_argument("--small", type=int, default=10, help="A/B checks at 8 %%")
    parser.add_argument("--large", type=int, default=5, help="A/B checks at 30 %%")
    parser.add_argument("--budget", type=float, default=45.0)
    parser.add_argument("--output", type=Path, default=RESULT)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="gputune-bench-gate-") as folder:
        bench = Bench(Path(folder), arguments.budget)
        bench.save_baseline()
        # Interleaved, so that the mood of the machine meets all kinds alike.
        plan = [("same", 0.0, k) for k in range(arguments.same)]
        plan += [("small", 0.08, k) for k in range(arguments.small)]
        plan += [("large", 0.30, k) for k in range(arguments.large)]
        plan.sort(key=lambda entry: (entry[2] / getattr(arguments, entry[0]), entry[0]))
        checks = []
        for kind, slower, number in plan:
            checks.append(bench.check(kind, slower, neighbour=kind == "same" and number % 3 == 2))
            print(json.dumps(checks[-1]), flush=True)
            write(arguments, bench, checks)


class Bench:
    """One folder with a script, its baseline and its runs."""

    def __init__(self, folder: Path, budget_s: float) -> None:
        self._folder, self._budget_s = folder, budget_s
        self._period_s = 0.0
        # A lock of its own: what else measures on this machine is part of its noise.
        self._env = {**os.environ, "XDG_CACHE_HOME": str(folder / "cache")}

    def save_baseline(self) -> None:
        """Save the baseline and learn how long a step takes."""
        self._write(0.0)
        self._gputune("--save-baseline", "remote", expected=(0,))
        self.baseline = json.loads(next((self._folder / "results/baselines").glob("*/remote.json")).read_text())
        self._period_s = 16 / median(self.baseline["samples_per_s"])

    def check(self, kind: str, slower: float, neighbour: bool) -> dict[str, Any]:
        """Run one check and return what it said."""
        self._write(slower)
        began_s = time.monotonic()
        with busy_neighbour() if neighbour else contextlib.nullcontext():
            done = self._gputune("--baseline", "remote", "--require", "max_regression = 5%", expected=(0, 1, 3))
        said = re.search(
            r"measured ([+-][\d.]+) % \(95 % interval ([+-][\d.]+) to ([+-][\d.]+)\)(?:: (.*))?", done.stdout
        )
        change, low, high = (float(part) for part in said.groups()[:3]) if said else (None, None, None)
        return {
            "kind": kind, "injected_percent": 100 * slower, "neighbour": neighbour,
            "verdict": VERDICTS[done.returncode], "change_percent": change, "low": low, "high": high,
            "reason": (said[4] or "") if said else done.stdout, "wall_s": round(time.monotonic() - began_s, 1),
            "load_average": os.getloadavg()[0],
        }  # fmt: skip

    def _write(self, slower: float) -> None:
        source = SCRIPT.read_text()
        pause = f"            optimizer.step()\n            time.sleep({slower * self._period_s:.6f})\n"
        assert source.count("            optimizer.step()\n") == 1
        (self._folder / "train.py").write_text(source.replace("            optimizer.step()\n", pause))

    def _gputune(self, *words: str, expected: tuple[int, ...]) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "gputune", "check", "--quiet", "--budget", str(self._budget_s), *words]
        done = subprocess.run(
            [*command, "train.py"], cwd=self._folder, env=self._env, capture_output=True, text=True, check=False
        )
        if done.returncode not in expected:
            raise SystemExit(f"gputune check ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        return done


@contextlib.contextmanager
def busy_neighbour() -> Iterator[None]:
    """Load one core half of the time."""
    process = subprocess.Popen([sys.executable, "-c", NEIGHBOUR])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def write(arguments: argparse.Namespace, bench: Bench, checks: list[dict[str, Any]]) -> None:
    """Write what is known so far."""
    summary = {}
    for kind in ("same", "small", "large"):
        found = [check["verdict"] for check in checks if check["kind"] == kind]
        summary[kind] = {"checks": len(found), **{v: found.count(v) for v in VERDICTS.values()}}
    result = {
        "what": "verdicts of gputune check: unchanged (same), 8 % slower (small), 30 % slower (large); limit 5 %",
        "budget_s": arguments.budget,
        "asked_for": {kind: getattr(arguments, kind) for kind in ("same", "small", "large")},
        "machine": bench.baseline["fingerprint"],
        "median_wall_s": median(check["wall_s"] for check in checks),
        "summary": summary,
        "baseline": bench.baseline,
        "checks": checks,
    }
    arguments.output.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
