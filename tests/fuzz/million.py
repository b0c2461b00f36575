"""A million hostile inputs through every door.

    python tests/fuzz/million.py [--inputs N] [--seed S] [--output FILE]

Prints what was fed, accepted and refused. An input that crashes is printed with the seed that made it.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
import traceback
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS), str(TESTS / "tuner"), str(Path(__file__).parent)]

from guard import Guard  # noqa: E402  the folder has just been put on the path
from mutations import Mutator  # noqa: E402
from surfaces import Surface, Surfaces, temporary  # noqa: E402


def fuzz(surface: Surface, guard: Guard, inputs: int, seed: int) -> tuple[int, list[tuple[bytes, str]]]:
    """Feed ``inputs`` inputs; return how many were accepted, and (input, traceback) of those that crashed."""
    mutator, accepted, crashed = Mutator(surface.seeds, seed), 0, []
    for _ in range(inputs):
        data = mutator.next()
        try:
            with guard:
                accepted += surface.feed(data)
        except Exception:  # noqa: BLE001  whatever it is, it is what we look for
            crashed.append((data, traceback.format_exc()))
    return accepted, crashed


def main() -> int:
    """Fuzz every surface with its share of the inputs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--output", type=Path, help="also write the table here")
    arguments = parser.parse_args()
    with temporary() as folder:
        surfaces, guard = Surfaces(Path(folder)).all, Guard(folder)
        whole = sum(surface.share for surface in surfaces)
        lines, failed = [f"{'door':<16}{'inputs':>10}{'accepted':>10}{'refused':>10}{'crashed':>9}{'seconds':>9}"], 0
        for surface in surfaces:
            share, began = math.ceil(arguments.inputs * surface.share / whole), time.monotonic()
            accepted, crashed = fuzz(surface, guard, share, arguments.seed)
            took_s = time.monotonic() - began
            refused = share - accepted - len(crashed)
            lines.append(f"{surface.name:<16}{share:>10}{accepted:>10}{refused:>10}{len(crashed):>9}{took_s:>9.1f}")
            print(*(lines if len(lines) == 2 else lines[-1:]), sep="\n", flush=True)
            for data, trace in crashed[:3]:
                print(f"{surface.name} crashed on {data[:300]!r}\n{trace}", file=sys.stderr)
            failed += len(crashed)
    if arguments.output:
        head = f"seed {arguments.seed}; hostile inputs through every door (python tests/fuzz/million.py)\n"
        arguments.output.write_text(head + "\n".join(lines) + "\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
