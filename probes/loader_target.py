"""The target of ``gputune check --loader``: builds the user's loader and pretends to train for a given time a step.

Usage: ``python -m gputune.probes.loader_target package.module:attribute --step-ms 40``
"""

from __future__ import annotations

import argparse
import importlib
import time
from typing import Any


def build(spec: str) -> Any:
    """Return the loader that ``module:attribute`` names; an attribute that can be called is called.

    Raises:
        SystemExit: what it gives cannot be iterated again and again.
    """
    module, _, name = spec.partition(":")
    made: Any = importlib.import_module(module)
    for part in name.split("."):
        made = getattr(made, part)
    if callable(made):
        made = made()
    if not hasattr(made, "__iter__") or iter(made) is made:
        raise SystemExit(f"{spec} gives a {type(made).__name__}, not a DataLoader")
    return made


def main() -> None:
    """Go through the loader until ended; the step is a sleep, as an accelerator would keep the loop waiting."""
    parser = argparse.ArgumentParser()
    parser.add_argument("spec")
    parser.add_argument("--step-ms", type=float, default=0.0)
    arguments = parser.parse_args()
    loader, step_s = build(arguments.spec), arguments.step_ms / 1000
    while True:
        empty = True
        for _ in loader:
            empty = False
            time.sleep(step_s)
        if empty:
            raise SystemExit(f"{arguments.spec} gives no batch")


if __name__ == "__main__":
    main()
