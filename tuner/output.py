"""Where verbs put their data: stdout or a whole file; what we say about it goes to stderr."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from pathlib import Path

from gputune import store
from gputune.files import write_whole


def emit(data: bytes, target: Path | None) -> None:
    """Write data unchanged to stdout, or whole into a file, and say where it went.

    Raises:
        RecordError: the file cannot be written.
    """
    if target is not None:
        write_whole(target, data)
        print(f"wrote {target}", file=sys.stderr)
        return
    try:
        sys.stdout.buffer.write(data)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader has seen enough (head, less); python would complain once more when it closes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def program() -> str:
    """Return how to call this program again from the shell it was called from: ``gputune`` where that finds it."""
    called = Path(sys.argv[0])
    if called.parts[-2:] == ("gputune", "__main__.py"):
        return f"{os.path.basename(sys.executable)} -m gputune"
    found = shutil.which("gputune")
    if called.name != "gputune" or (found is not None and os.path.realpath(found) == os.path.realpath(called)):
        return "gputune"
    return os.path.relpath(called) if called.is_relative_to(Path.cwd()) else str(called)


def add_results_dir(parser: argparse.ArgumentParser) -> None:
    """Declare the option that says where runs are stored."""
    parser.add_argument(
        "--results-dir",
        type=Path,
        default=store.RESULTS,
        metavar="DIR",
        help="where runs are stored (default: results)",
    )
