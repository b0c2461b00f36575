"""List what the script wrote, from the upper layers of its overlays or from a copy of the project."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from typing import NamedTuple

MAX_LISTED = 2000
_Found = tuple[str, str, os.stat_result, "os.stat_result | None"]
"""Path, action, status in the upper layer, status of the original."""


class Entry(NamedTuple):
    """One file as the script left it."""

    path: str
    action: str
    """``created``, ``changed``, ``deleted`` or ``renamed``."""
    bytes: int
    renamed_from: str = ""


class Listing(NamedTuple):
    """The largest entries, and the totals over all."""

    entries: list[Entry]
    files: int
    bytes: int


def from_uppers(uppers: list[tuple[str, str]], started_ns: int) -> Listing:
    """Compare upper layers with the originals below them.

    Args:
        uppers: ``(overlaid path, upper layer)``; the originals are at the overlaid path.
        started_ns: when the script started, to tell a moved file from a new one.
    """
    found: list[_Found] = []
    moved: dict[str, str] = {}
    for target, upper in uppers:
        for name, status in _walk(upper):
            path = target.rstrip("/") + name
            original = _status(path)
            if stat.S_ISCHR(status.st_mode) and status.st_rdev == 0:  # overlayfs marks a deletion like this
                if original is not None:
                    found.append((path, "deleted", status, original))
            elif not stat.S_ISDIR(status.st_mode):
                found.append((path, "created" if original is None else "changed", status, original))
            else:
                found += _directory(path, upper + name, status, original)
                if source := _attribute(upper + name, "redirect"):
                    top = target.rstrip("/") if source.startswith("/") else os.path.dirname(path) + "/"
                    moved[path] = top + source
    return _summary(_pair_renames(found, moved, started_ns))


def _directory(path: str, upper: str, status: os.stat_result, original: os.stat_result | None) -> list[_Found]:
    if original is None:
        return [(path, "created", status, None)] if not os.listdir(upper) else []
    if _attribute(upper, "opaque") != "y" or not stat.S_ISDIR(original.st_mode):
        return []
    # Removed and made again: whatever the original held and the new one does not was deleted.
    return [
        (path + name, "deleted", status, before) for name, before in _walk(path) if not os.path.lexists(upper + name)
    ]


def _attribute(path: str, name: str) -> str:
    for space in ("trusted", "user"):
        try:
            return os.getxattr(path, f"{space}.overlay.{name}", follow_symlinks=False).decode(errors="surrogateescape")
        except OSError:
            continue  # not set, or not readable without privilege
    return ""


def from_copy(original: str, copy: str, before: dict[str, tuple[int, ...]]) -> Listing:
    """Compare a copy of the project with how it was when the script started (see ``treecopy.manifest``)."""
    entries = []
    now = {name: status for name, status in _walk(copy) if not stat.S_ISDIR(status.st_mode)}
    for name, status in now.items():
        known = before.get(name)
        if known is None:
            entries.append(Entry(original + name, "created", status.st_size))
        elif known != fingerprint(status):
            entries.append(Entry(original + name, "changed", status.st_size))
    entries += [Entry(original + name, "deleted", 0) for name in before if name not in now]
    return _summary(entries)


def fingerprint(status: os.stat_result) -> tuple[int, ...]:
    """Return what differs once a file was written: inode, size, time and mode."""
    return (status.st_ino, status.st_size, status.st_mtime_ns, status.st_mode)


def _pair_renames(found: list[_Found], moved: dict[str, str], started_ns: int) -> list[Entry]:
    """A new file older than the script, as large and as old as a deleted one, is that file renamed."""
    gone: dict[tuple[int, int], list[str]] = {}
    for path, action, _, original in found:
        if action == "deleted" and original is not None and stat.S_ISREG(original.st_mode):
            gone.setdefault((original.st_size, original.st_mtime_ns), []).append(path)
    for path, action, status, _ in found:
        candidates = gone.get((status.st_size, status.st_mtime_ns), [])
        if action in ("created", "changed") and status.st_mtime_ns < started_ns and candidates:
            moved[path] = candidates.pop()
    sources = set(moved.values())
    entries = []
    for path, action, status, _ in found:
        if path in moved:
            entries.append(Entry(path, "renamed", status.st_size, moved[path]))
        elif path not in sources:
            entries.append(Entry(path, action, 0 if action == "deleted" else status.st_size))
    return entries


def _summary(entries: list[Entry]) -> Listing:
    total = sum(entry.bytes for entry in entries)
    largest = sorted(entries, key=lambda entry: (-entry.bytes, entry.path))[:MAX_LISTED]
    return Listing(sorted(largest), len(entries), total)


def _walk(root: str) -> Iterator[tuple[str, os.stat_result]]:
    pending = [""]
    while pending:
        directory = pending.pop()
        try:
            with os.scandir(root + (directory or "/")) as entries:
                found = [(f"{directory}/{entry.name}", entry.stat(follow_symlinks=False)) for entry in entries]
        except OSError:
            continue  # a directory its owner made unreadable: counted by its parent, not by its content
        for name, status in found:
            yield name, status
            if stat.S_ISDIR(status.st_mode):
                pending.append(name)


def _status(path: str) -> os.stat_result | None:
    try:
        return os.lstat(path)
    except OSError:
        return None
