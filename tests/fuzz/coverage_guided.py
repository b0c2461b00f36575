"""The same doors under a coverage-guided fuzzer, where atheris is installed (``pip install atheris``).

    python tests/fuzz/coverage_guided.py [--inputs N] [--door NAME]

One door a process, because libFuzzer never returns; without ``--door`` each gets its share of the inputs.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS), str(TESTS / "tuner"), str(Path(__file__).parent)]

import atheris  # noqa: E402  the folder has just been put on the path

with atheris.instrument_imports(include=["gputune"]):
    from surfaces import Surfaces, temporary

from guard import Guard  # noqa: E402


def fuzz(door: str, inputs: int, folder: Path) -> None:
    """Feed one door and end the process; its status says whether anything came out that should not."""
    surface = next(surface for surface in Surfaces(folder).all if surface.name == door)
    corpus = folder / "corpus"
    corpus.mkdir()
    for number, seed in enumerate(surface.seeds):
        (corpus / str(number)).write_bytes(seed)
    guard = Guard(str(folder))

    def once(data: bytes) -> None:
        with guard:
            surface.feed(data)

    atheris.Setup([sys.argv[0], str(corpus), f"-atheris_runs={inputs}", "-max_len=20000", "-verbosity=0"], once)
    atheris.Fuzz()


def main() -> int:
    """Fuzz one door here, or every door in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=100_000)
    parser.add_argument("--door")
    parser.add_argument("--folder", type=Path, help="an empty folder for one door's inputs")
    arguments = parser.parse_args()
    if arguments.door:
        fuzz(arguments.door, arguments.inputs, arguments.folder)
    doors, failed = Surfaces(Path()).all, 0
    for surface in doors:
        inputs = str(int(arguments.inputs * surface.share) // len(doors))
        with temporary() as folder:
            command = [sys.executable, __file__, "--door", surface.name, "--inputs", inputs, "--folder", folder]
            status = subprocess.run(command, check=False).returncode
        print(f"{surface.name:<16}{inputs:>10} coverage-guided inputs, status {status}", flush=True)
        failed += status != 0
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
