"""What a campaign may leave behind: nothing. One look at everything that could be, used after every fault."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

from gputune.probes.sandbox import scratch

SHARED_MEMORY = Path("/dev/shm")
OURS_IN_RESULTS = ("run.json", "study.journal")
MARK = "GPUTUNE_FAULT_SCENE"
"""Environment variable by which the processes of one test are told from all others."""


class Remains:
    """Knows what was there before a campaign and says what there is too much afterwards.

    Args:
        folder: the test's own folder: project, caches, temporary files, results.
        temporary: its temporary folder, empty now.
        results: where the campaign stores its runs.
    """

    def __init__(self, folder: Path, temporary: Path, results: Path) -> None:
        self._folder, self._temporary, self._results = folder, temporary, results
        self._shared = set(os.listdir(SHARED_MEMORY))
        self._scratch = set(_scratch_folders())

    def after(self, patience_s: float = 10.0) -> list[str]:
        """Return what is still there once ``patience_s`` is over; an empty list as soon as nothing is."""
        deadline = time.monotonic() + patience_s
        while True:
            found = [*self._processes(), *self._segments(), *self._mounts(), *self._files()]
            if not found or time.monotonic() > deadline:
                return found
            time.sleep(0.1)

    def _processes(self) -> Iterator[str]:
        """A process is found by its mark, its folder or its command; its threads go with it."""
        mark, folder = f"{MARK}={self._folder}".encode(), str(self._folder)
        for process in Path("/proc").glob("[0-9]*"):
            try:
                if _state(process) == "Z" or process.name == str(os.getpid()):
                    continue
                command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
                marked = mark in (process / "environ").read_bytes().split(b"\0")
                if marked or folder in command or os.readlink(process / "cwd").startswith(folder):
                    yield f"process {process.name}: {command}"
            except OSError:
                continue  # another user's, or gone meanwhile

    def _segments(self) -> Iterator[str]:
        new = set(os.listdir(SHARED_MEMORY)) - self._shared
        in_use = _mapped() if new else ""
        for name in new:  # a segment is a file; a folder there is some program's temporary one
            if f"/dev/shm/{name}" not in in_use and (SHARED_MEMORY / name).is_file():
                yield f"shared memory {name}"

    def _mounts(self) -> Iterator[str]:
        for line in Path("/proc/self/mountinfo").read_text().splitlines():
            if str(self._folder) in line:
                yield f"mount {line}"

    def _files(self) -> Iterator[str]:
        yield from (f"temporary file {path}" for path in self._temporary.rglob("*"))
        yield from (f"scratch space {path}" for path in set(_scratch_folders()) - self._scratch if not _owned(path))
        for path in self._folder.rglob(scratch.PREFIX + "*"):
            yield f"scratch space {path}"
        for path in self._results.glob("*/*"):
            if path.name not in OURS_IN_RESULTS and not path.name.startswith("script-"):
                yield f"file in the results {path}"


def _scratch_folders() -> Iterator[str]:
    for base in ("/tmp", "/var/tmp"):
        yield from (entry.path for entry in os.scandir(base) if entry.name.startswith(scratch.PREFIX))


def _owned(path: str) -> bool:
    """Whether a living process signed for the scratch space: that of another test on this machine."""
    try:
        owner = Path(path, scratch.OWNER_FILE).read_text().split("\n")[-2]
    except (OSError, IndexError):
        return False
    return Path("/proc", owner).exists()


def _mapped() -> str:
    maps = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            maps.append((process / "maps").read_text(errors="replace"))
            maps.extend(os.readlink(link) for link in (process / "fd").iterdir())
        except OSError:
            continue  # another user's, or gone meanwhile
    return "\n".join(maps)


def _state(process: Path) -> str:
    return (process / "stat").read_text(errors="replace").rpartition(")")[2].split()[0]
