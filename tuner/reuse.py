"""Whether an earlier run still tells the truth: same script, same data, same settings, same hardware.

What is compared, and nothing else: the command and the folder it is run in, the contents of the script and of the
modules it imports from beside it, size and time of the last change of the files and folders that the dataset names
(of a folder its own, not those of what lies in it), the options of ``profile``, the versions of gputune, Python and
torch, and the machine's CPU, cores, GPU and driver.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import platform
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from gputune import baseline
from gputune._version import __version__
from gputune.errors import RecordError
from gputune.probes.protocol import DataFile
from gputune.record import Machine, Run, Status, load
from gputune.store import runs

BUDGET = ("budget_s",)
"""A run may be continued with more time."""
RESUMABLE = (Status.INTERRUPTED, Status.SCRIPT_ENDED)


class Now(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be profiled, where and how."""

    command: list[str]
    cwd: str
    options: dict[str, Any]
    machine: Machine
    own_interpreter: bool = True
    """The script runs under this Python; of another's packages nothing is known before it starts."""


def hashes(files: Iterable[str]) -> dict[str, str]:
    """Return the SHA-256 of each file that can be read."""
    found = {}
    for file in files:
        try:
            found[file] = hashlib.sha256(Path(file).read_bytes()).hexdigest()
        except OSError:
            continue  # gone meanwhile: there is nothing to compare with later
    return found


def finished(results_dir: Path, now: Now) -> tuple[Path, Run] | None:
    """Return the newest complete run that still holds, or ``None``."""
    for path, run in _candidates(results_dir, now):
        if run.status is Status.COMPLETE and not changes(run, now):
            return path, run
    return None


def interrupted(results_dir: Path, now: Now) -> tuple[Path, Run]:
    """Return the newest run, if it was interrupted after its baseline and can be continued.

    Raises:
        RecordError: there is none, or something has changed since.
    """
    command = " ".join(now.command)
    for path, run in _candidates(results_dir, now):
        if run.status not in RESUMABLE or run.baseline is None:
            break
        if found := changes(run, now, unlike=BUDGET):
            raise RecordError(
                f"run {run.id} cannot be continued: {'; '.join(found)}", "measure again: leave --resume out"
            )
        return path, run
    raise RecordError(
        f"the last run of {command} in {results_dir}/ was not interrupted after its baseline, so there is nothing to "
        "continue",
        "see the stored runs with: gputune list",
    )


def _candidates(results_dir: Path, now: Now) -> Iterator[tuple[Path, Run]]:
    """Give the profiles of this command in this folder, the newest first."""
    for stored in reversed(runs(results_dir)):
        if stored.head is None or stored.head.command != now.command:
            continue
        try:
            run = load(stored.path)
        except RecordError:
            continue  # its head could be read, it cannot: it is no use
        if run.cwd == now.cwd and not run.rounds:
            yield stored.path, run


def changes(run: Run, now: Now, unlike: tuple[str, ...] = ()) -> list[str]:
    """Return what a run's result rests on and is different now, one phrase each.

    Args:
        run: the earlier run.
        now: what would be measured.
        unlike: options that may differ.
    """
    torch = run.environment.torch if run.environment else ""
    then, here = baseline.fingerprint(run), baseline.of_machine(now.machine, torch)
    found = [f"the hardware: {text}" for text in then.differences(here)]
    found += [text for name, text in _options(run.options, now.options).items() if name not in unlike]
    if run.tool_version != __version__:
        found.append(f"gputune {run.tool_version} -> {__version__}")
    if now.own_interpreter and run.environment is not None:
        before, after = (torch, run.environment.python), (_torch(), platform.python_version())
        versions = zip(("torch", "Python"), before, after, strict=True)
        found += [f"{name} {old} -> {new}" for name, old, new in versions if new and old != new]
    if not run.sources:
        found.append("its sources were not recorded")
    current = hashes(run.sources)
    changed = [file for file, digest in run.sources.items() if current.get(file) != digest]
    changed += [file.path for file in run.data if not _same(file)]
    return found + [f"{_short(file, now.cwd)} has changed" for file in changed]


def _options(then: dict[str, Any], now: dict[str, Any]) -> dict[str, str]:
    """Return ``mine -> theirs`` for each option that differs."""
    mine, theirs = (msgspec.json.decode(msgspec.json.encode(options)) for options in (then, now))
    return {
        name: f"option {name}: {mine.get(name)} -> {theirs.get(name)}"
        for name in sorted({*mine, *theirs})
        if mine.get(name) != theirs.get(name)
    }


def _torch() -> str:
    """Return torch's version without importing it, or an empty string."""
    try:
        return importlib.metadata.version("torch")
    except importlib.metadata.PackageNotFoundError:
        return ""


def _same(file: DataFile) -> bool:
    try:
        status = os.stat(file.path)
    except OSError:
        return False
    return (status.st_size, status.st_mtime) == (file.bytes, file.modified_s)


def _short(file: str, cwd: str) -> str:
    relative = os.path.relpath(file, cwd)
    return file if relative.startswith("..") else relative


def compared(run: Run) -> str:
    """Return what was compared, for people: ``script and 2 modules, 3 data files, settings, hardware``."""
    modules = len(run.sources) - 1
    data = f"{len(run.data)} data file{'s' if len(run.data) != 1 else ''}"
    beside = f" and {modules} module{'s' if modules != 1 else ''}" if modules else ""
    return f"script{beside}, {data}, settings, hardware"
