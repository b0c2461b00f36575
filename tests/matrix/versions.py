"""Runs a core list of tests for every Python and torch that can be had here, and prints a table.

Usage: ``python tests/matrix/versions.py [--python 3.11,3.12] [--torch 2.4.1,2.13.0] [--all] [--environment FOLDER]``

Each combination gets a virtual environment of its own under ``.venv-matrix``. A torch whose installation would bring
CUDA packages (gigabytes) is not installed without ``--all``; what was not run is in the table with its reason.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / ".venv-matrix"
PYTHONS = ("3.11", "3.12", "3.13")
TORCHES = ("2.4.1", "2.6.0", "2.9.1", "2.13.0", "2.15.0")
CORE = ("tests/probes/agent/test_swap.py", "tests/probes/agent/test_faults.py", "tests/probes/test_channel.py")
NEEDED = ("hypothesis", "msgspec", "nvidia-ml-py", "optuna", "psutil", "pytest", "pytest-timeout", "pyyaml", "rich")
TIMEOUT_S = 1800


class Row(NamedTuple):
    """One combination and what came of it."""

    python: str
    torch: str
    result: str
    failed: bool = False


def interpreter(version: str) -> Path | None:
    """Return a Python of a version: on PATH, or one that pyenv keeps."""
    found = shutil.which(f"python{version}")
    kept = sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python"))
    candidates = [*([Path(found)] if found else []), *kept]
    for candidate in candidates:
        asked = subprocess.run([candidate, "-c", "import sys, venv; print(*sys.version_info[:2], sep='.')"],
                               capture_output=True, text=True, check=False)  # fmt: skip
        if asked.stdout.strip() == version:
            return candidate
    return None


def has_cpu_build(python: Path, torch: str) -> bool:
    """Whether pip finds a build of a torch for CPUs; PyPI's own for Linux bring CUDA packages."""
    pip = [python, "-m", "pip", "install", "--quiet", "--dry-run", "--no-deps", "--ignore-installed"]
    return subprocess.run([*pip, f"torch=={torch}+cpu"], capture_output=True, check=False).returncode == 0


def environment(python: Path, version: str, torch: str, everything: bool) -> tuple[Path | None, str]:
    """Return the interpreter of an environment with a torch, or why there is none."""
    folder = FOLDER / f"python{version}-torch{torch}"
    inside = folder / "bin" / "python"
    if (folder / "installed").exists():
        return inside, ""
    subprocess.run([python, "-m", "venv", "--clear", folder], check=True)
    if not everything and not has_cpu_build(inside, torch):
        return None, "not run: no build for CPUs is to be had; the other brings gigabytes of CUDA packages: --all"
    pip = [inside, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    for packages in ([f"torch=={torch}"], ["numpy", *NEEDED]):
        done = subprocess.run([*pip, *packages], capture_output=True, text=True, check=False, timeout=TIMEOUT_S)
        if done.returncode:
            return None, f"not run: {done.stderr.strip().splitlines()[-1]}"
    (folder / "installed").touch()
    return inside, ""


def tested(inside: Path) -> tuple[str, bool]:
    """Run the core list and return its closing line and whether something failed."""
    links = FOLDER / "types" / "gputune"
    shutil.rmtree(links, ignore_errors=True)
    links.mkdir(parents=True)
    for module in (ROOT / "tuner").iterdir():
        (links / module.name).symlink_to(module)
    (links / "probes").symlink_to(ROOT / "probes")
    command = [inside, "-m", "pytest", "-q", "-p", "no:cacheprovider", *CORE]
    done = subprocess.run(
        command, cwd=ROOT, env={"PYTHONPATH": str(links.parent), "PATH": "/usr/local/bin:/usr/bin:/bin"},
        capture_output=True, text=True, check=False, timeout=TIMEOUT_S,
    )  # fmt: skip
    lines = (done.stdout + done.stderr).strip().splitlines()
    closing = next((line for line in reversed(lines) if re.search(r"\d+ (passed|failed|error)", line)), lines[-1])
    return closing, done.returncode != 0


def one(version: str, torch: str, everything: bool) -> Row:
    """Return the row of one combination."""
    python = interpreter(version)
    if python is None:
        return Row(version, torch, f"not run: no python{version} on this machine")
    inside, reason = environment(python, version, torch, everything)
    return Row(version, torch, *tested(inside)) if inside else Row(version, torch, reason)


def existing(folder: Path) -> Row:
    """Return the row of an environment that somebody else made."""
    inside = folder / "bin" / "python"
    asked = "import sys, torch; print(*sys.version_info[:2], sep='.'); print(torch.__version__)"
    version, torch = subprocess.run([inside, "-c", asked], capture_output=True, text=True, check=True).stdout.split()
    return Row(version, torch, *tested(inside))


def main() -> int:
    """Run what was asked for; 1 when a test failed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--python", default=",".join(PYTHONS), help="versions, separated by commas")
    parser.add_argument("--torch", default=",".join(TORCHES), help="versions, separated by commas")
    parser.add_argument("--all", action="store_true", help="also where CUDA packages have to be installed")
    parser.add_argument("--environment", action="append", default=[], type=Path, help="only this environment")
    arguments = parser.parse_args()
    wanted = [(python, torch) for python in arguments.python.split(",") for torch in arguments.torch.split(",")]
    rows = [existing(folder) for folder in arguments.environment] or [
        one(python, torch, arguments.all) for python, torch in wanted
    ]
    print("| Python | torch | core tests |\n| --- | --- | --- |")
    for row in rows:
        print(f"| {row.python} | {row.torch} | {row.result} |")
    return int(any(row.failed for row in rows))


if __name__ == "__main__":
    sys.exit(main())
