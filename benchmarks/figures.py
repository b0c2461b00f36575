"""Shared by the benchmarks: where results go and what machine they are from."""

from __future__ import annotations

import datetime
import json
import os
import platform
from pathlib import Path
from typing import Any

from gputune import machine

REFERENCE = Path(__file__).parents[1] / "results" / "reference"


def write(name: str, figures: dict[str, Any]) -> None:
    """Write ``results/reference/NAME.json`` with the machine it was measured on, and print it."""
    print(store(name, figures), end="")


def store(name: str, figures: dict[str, Any]) -> str:
    """Write ``results/reference/NAME.json`` with the machine it was measured on; return its text."""
    described = machine.describe()
    result = {
        "measured_at": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
        "machine": {
            "cpus": described.cpus,
            "effective_cpus": described.effective_cpus,
            "cpu_model": described.cpu_model,
            "gpu": described.gpu or None,
            "platform": platform.platform(),
            "load_average": round(os.getloadavg()[0], 2),
        },
        **figures,
    }
    text = json.dumps(result, indent=1)
    REFERENCE.mkdir(parents=True, exist_ok=True)
    (REFERENCE / f"{name}.json").write_text(text + "\n", encoding="utf-8")
    return text + "\n"
