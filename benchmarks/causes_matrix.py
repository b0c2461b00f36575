"""Judges what ``causes.py`` measured: which cause was named, where, and at what cost against the truth. Pure."""

from __future__ import annotations

from typing import Any

from gputune.cause import Cause

EXPECTED: dict[str, tuple[Cause, str]] = {
    "main_thread_loading": (Cause.MAIN_THREAD, "decode"),
    "cpu_bound_decode": (Cause.CPU, "decode"),
    "slow_transform": (Cause.CPU, "Sharpen"),
    "latency": (Cause.STORAGE, "Remote"),
    "bandwidth": (Cause.BANDWIDTH, "Pipe"),
    "slow_collate": (Cause.COLLATE, "slow_collate"),
    "tiny_samples": (Cause.QUEUE, ""),
    "heavy_tail": (Cause.SLOW_SAMPLES, "Tail"),
    "short_epochs": (Cause.WORKER_START, ""),
    "cold_cache": (Cause.COLD_CACHE, "Records"),
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
NEEDS_A_GPU = ("sync points (.item() in the loop)",)
"""Faults of the list that cannot be injected without one."""
CLOSE = 0.20
"""Relative error of the cost up to which an amount counts as right."""


def judged_rows(measured: dict[str, Any]) -> dict[str, Any]:
    """Return the rows with what was right: ``named``, ``placed`` and ``close`` count runs."""
    return {fault: _judged(fault, row) for fault, row in measured.items()}


def _judged(fault: str, row: dict[str, Any]) -> dict[str, Any]:
    cause, culprit = EXPECTED[fault]
    runs, truth = row["runs"], row["truth"]["cost"]
    healthy = cause is Cause.STEP
    return {
        "expected": cause.value,
        "culprit": culprit,
        "named": sum(run["cause"] == cause.value for run in runs),
        "placed": sum(culprit in run.get("place", "") for run in runs) if culprit else None,
        # A healthy script costs nothing; its cause's share is that of the step.
        "close": None if healthy else sum(abs(run.get("cost", 0) / truth - 1) <= CLOSE for run in runs),
        "of": len(runs),
        **row,
    }


def shown(rows: dict[str, Any]) -> str:
    """Return the matrix as text."""
    lines = [f"{'injected':27s}{'expected':19s}{'named':>7s}{'place':>7s}{'cost':>7s}   truth, and what each run said"]
    for fault, row in rows.items():
        of = row["of"]
        place, close = (f"{row[key]}/{of}" if row[key] is not None else "-" for key in ("placed", "close"))
        said = ", ".join(_said(run, row["expected"]) for run in row["runs"])
        truth = "" if row["close"] is None else f"{row['truth']['cost']:.0%}: "
        named = f"{row['named']}/{of}"
        lines.append(f"{fault:27s}{row['expected']:19s}{named:>7s}{place:>7s}{close:>7s}   {truth}{said}")
    runs, named = sum(row["of"] for row in rows.values()), sum(row["named"] for row in rows.values())
    whole = sum(row["named"] == row["of"] for row in rows.values())
    wrong = sum(row["of"] - row["named"] for row in rows.values() if row["expected"] == Cause.STEP.value)
    lines.append(f"\n{whole} of {len(rows)} named right in every run; {named} of {runs} runs; false alarms: {wrong}")
    lines += [f"not measured, needs a GPU: {fault}" for fault in NEEDS_A_GPU]
    return "\n".join(lines)


def _said(run: dict[str, Any], expected: str) -> str:
    cost = f"{run.get('cost', 0):.0%}"
    return cost if run["cause"] == expected else f"{run['cause']} {cost}"
