"""How settings are chosen for a real script: the exhaustive grid, gputune, gputune with restarts, TPE, train-doctor.

Every strategy returns what it would leave the user with and what that took. All but the last two measure with the
same bench; :func:`judge` compares their choices with the best of the grid in alternating pairs.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import Any

import msgspec
import optuna

from gputune import machine, proof, stats
from gputune.campaign import Campaign
from gputune.options import Options
from gputune.probes.burst import Burst, Infeasible, Purpose
from gputune.probes.protocol import Length
from gputune.probes.settings import Settings
from gputune.record import Run, Trial, load
from gputune.script import parse
from gputune.target_bench import TargetBench

SCRIPT = Path(__file__).parent / "real" / "train.py"
WORKERS = (0, 1, 2, 3, 4, 6, 8, 12)
PREFETCH = (2, 4, 8)
PERSISTENT_TOO = "short_epochs"
"""The script whose epochs are so short that the grid has to try persistent workers."""
LONG = Length(warmup_batches=4, min_batches=40, min_s=2.0, max_s=4.0, precision=0.02)
TPE_TRIALS = 16
TPE_BURST_S = 3.0
"""A restarted trial measures as long as a burst of the grid."""
LAUNCHES_A_CANDIDATE = 12
"""A warm-up and five measurements of the script as it is and of the change."""
JUDGED_S = 100.0
Choice = dict[str, Any]


class RestartingBench(TargetBench):
    """The real bench with a fresh process for each burst, as a tuner without hot swap has to work."""

    def measure(self, settings: Settings, *arguments: Any, **options: Any) -> Burst | Infeasible:
        """Start the script with the settings in place, then run one burst."""
        self.start(settings)
        return super().measure(settings, *arguments, **options)


class Silent:
    """A listener that shows nothing."""

    def phase(self, name: str, run: Run) -> None:
        """Show nothing."""

    def plan(self, settings: Settings, why: str, run: Run) -> None:
        """Show nothing."""

    def trial(self, trial: Trial, run: Run) -> None:
        """Show nothing."""

    def note(self, text: str) -> None:
        """Show nothing."""


def points(kind: str) -> list[Settings]:
    """Return the grid of a script."""
    persistent = (False, True) if kind == PERSISTENT_TOO else (False,)
    every = product(WORKERS, PREFETCH, persistent)
    found = {Settings.make(num_workers=w, prefetch_factor=p, persistent_workers=k) for w, p, k in every}
    return sorted(found, key=lambda s: (s.num_workers, s.prefetch_factor or 0, s.persistent_workers))


def grid(kind: str) -> Choice:
    """Measure every point, hot-swapped."""
    found: dict[Settings, float] = {}
    began = time.monotonic()
    with bench_of(kind, TargetBench) as bench:
        for settings in points(kind):
            burst = bench.measure(settings, Purpose.TRIAL, LONG)
            found[settings] = stats.samples_per_s(burst) if isinstance(burst, Burst) else 0.0
            print(f"{settings}: {found[settings]:.0f}", file=sys.stderr)
    best = max(found, key=found.__getitem__)
    return {
        **_choice(best, time.monotonic() - began, len(found)),
        "infeasible": sum(rate == 0 for rate in found.values()),
        "points": {str(settings): round(rate, 1) for settings, rate in found.items()},
    }


def profile(kind: str) -> Choice:
    """Run ``gputune profile`` as a user would."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="search-real-", dir=Path.home()) as folder:
        subprocess.run(
            [sys.executable, "-m", "gputune", "profile", "--quiet", str(SCRIPT), kind],
            cwd=folder,
            check=True,
            env={**os.environ, "XDG_CACHE_HOME": folder},
        )
        wall_s = time.monotonic() - began
        return _of_run(load(next((Path(folder) / "results").iterdir())), wall_s)


def restarts(kind: str) -> Choice:
    """Run the same campaign with a process restart for each burst."""
    began = time.monotonic()
    with bench_of(kind, RestartingBench) as bench:
        hello = bench.hello
        assert hello is not None
        blank = Run(id="restarts", created_at="", command=[str(SCRIPT), kind], machine=machine.describe())
        run = Campaign(bench, hello, blank, Options(budget_s=600.0), Silent()).conduct()
    return _of_run(run, time.monotonic() - began)


def tpe(kind: str) -> Choice:
    """Let Optuna's TPE choose; every trial starts the script anew, as its documentation shows it."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=0))
    persistent = (False, True) if kind == PERSISTENT_TOO else (False,)

    def objective(trial: optuna.trial.Trial) -> float:
        words = ["--workers", str(trial.suggest_categorical("num_workers", WORKERS))]
        words += ["--prefetch", str(trial.suggest_categorical("prefetch_factor", PREFETCH))]
        words += ["--persistent"] * trial.suggest_categorical("persistent_workers", persistent)
        return _timed(kind, words)

    began = time.monotonic()
    study.optimize(objective, n_trials=TPE_TRIALS)
    best = Settings.make(**study.best_trial.params)
    return {
        **_choice(best, time.monotonic() - began, TPE_TRIALS),
        "infeasible": sum(trial.value == 0 for trial in study.trials),
    }


def _timed(kind: str, words: list[str]) -> float:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(SCRIPT), kind, "--seconds", str(TPE_BURST_S), *words],
        capture_output=True,
        text=True,
        timeout=120,
    )
    found = re.search(r"([\d.]+) samples/s", done.stdout)
    return float(found[1]) if found else 0.0


def train_doctor(kind: str) -> Choice:
    """Run the nearest peer; ``TRAIN_DOCTOR`` names its executable."""
    own = _own(kind)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="search-real-", dir=Path.home()) as folder:
        command = [os.environ.get("TRAIN_DOCTOR", "train-doctor"), "fix", "--json", "--no-card", "--quiet", "--"]
        done = subprocess.run(
            [*command, sys.executable, str(SCRIPT), kind], cwd=folder, capture_output=True, text=True, timeout=600
        )
    wall_s = time.monotonic() - began
    said = json.loads(done.stdout)
    words = (said.get("proven") or {}).get("describe", "")
    changes = {
        name: json.loads(value.lower()) for name, value in re.findall(r"(\w+)=(\w+)", words) if hasattr(own, name)
    }
    launches = 1 + LAUNCHES_A_CANDIDATE * len(said.get("candidates", []))
    return {**_choice(own.replace(**changes), wall_s, launches), "said": said.get("headline", "")}


def judge(kind: str, chosen: dict[str, Settings], best: Settings) -> dict[str, dict[str, float]]:
    """Return throughput of each choice over the grid's best, from alternating pairs in one process."""
    ratios: dict[Settings, dict[str, float]] = {best: {"ratio": 1.0, "low": 1.0, "high": 1.0}}
    with bench_of(kind, TargetBench) as bench:
        for settings in set(chosen.values()) - {best}:
            compared = proof.prove(bench, best, settings, bench.now_s() + JUDGED_S / len(set(chosen.values())))
            lost = {"ratio": 0.0, "low": 0.0, "high": 0.0}
            ratios[settings] = (
                lost if compared is None else {k: round(getattr(compared, k), 4) for k in ("ratio", "low", "high")}
            )
    return {name: ratios[settings] for name, settings in chosen.items()}


@contextmanager
def bench_of(kind: str, which: type[TargetBench]) -> Iterator[TargetBench]:
    """Give a started bench of a script."""
    with tempfile.TemporaryDirectory(prefix="search-real-", dir=Path.home()) as folder:
        bench = which(parse([str(SCRIPT), kind], None), cwd=Path(folder), log_folder=Path(folder))
        try:
            bench.start()
            yield bench
        finally:
            bench.stop()


def _own(kind: str) -> Settings:
    with bench_of(kind, TargetBench) as bench:
        assert bench.hello is not None
        return bench.hello.loader.settings


def _of_run(run: Run, wall_s: float) -> Choice:
    assert run.loader is not None
    recommended = run.recommendation
    return {
        **_choice(recommended.settings if recommended else run.loader.settings, wall_s, len(run.trials)),
        "infeasible": sum(trial.infeasible is not None for trial in run.trials),
        "outcome": run.outcome.value,
        "stopped_because": run.stopped_because,
        "proved": [recommended.ratio, recommended.low, recommended.high] if recommended else None,
        "phases_s": {name: round(seconds, 1) for name, seconds in run.phases_s.items()},
        "trials": [
            f"{trial.settings}: {stats.samples_per_s(trial.burst):.0f} ({trial.why})"
            if trial.burst
            else f"{trial.settings}: infeasible ({trial.why})"
            for trial in run.trials
        ],
    }


def _choice(settings: Settings, wall_s: float, bursts: int) -> Choice:
    return {"recommended": msgspec.to_builtins(settings), "wall_clock_s": round(wall_s, 1), "bursts": bursts}
