"""What a result rests on, as seen from inside the script: its own source files and the data its dataset names."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Sized
from pathlib import Path
from typing import Any

from gputune.probes.protocol import DataFile

MOST_FILES = 256
"""Of a long list of files so many are looked at, evenly spread."""
DEEPEST = 4
"""Datasets wrapped in datasets are looked through so far."""
INSTALLED = ("site-packages", "dist-packages")


def own_modules() -> list[str]:
    """Return the files of the script and of modules beside it or under the working directory, sorted."""
    main = getattr(sys.modules.get("__main__"), "__file__", None)
    roots = {os.getcwd()} | ({os.path.dirname(os.path.abspath(main))} if main else set())
    ours = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    installed = (ours, os.path.realpath(sys.prefix) + os.sep, os.path.realpath(sys.base_prefix) + os.sep)
    found = {os.path.abspath(main)} if main and os.path.isfile(main) else set()
    for module in list(sys.modules.values()):
        file = getattr(module, "__file__", None)
        if not isinstance(file, str) or not file.endswith(".py"):
            continue
        path = os.path.abspath(file)
        beside = any(path.startswith(root.rstrip(os.sep) + os.sep) for root in roots)
        named = beside and os.path.isfile(path)  # torch calls some of its modules by names that are no files
        if named and not path.startswith(installed) and not any(f"/{name}/" in path for name in INSTALLED):
            found.add(path)
    return sorted(found)


def data_files(dataset: Any) -> list[DataFile]:
    """Return the files and folders that a dataset's attributes name, with size and time of the last change."""
    found: dict[str, DataFile] = {}
    for name in _paths(dataset, DEEPEST):
        path = os.path.abspath(name)
        if path in found:
            continue
        try:
            status = os.stat(path)
        except (OSError, ValueError):
            continue  # a text that names no file
        found[path] = DataFile(path=path, bytes=status.st_size, modified_s=status.st_mtime)
        if len(found) >= MOST_FILES:
            break
    return [found[path] for path in sorted(found)]


def _paths(holder: Any, depth: int) -> Iterator[str]:
    """Yield what looks like paths in the attributes of an object and of the datasets it wraps."""
    try:
        values = list(vars(holder).values())
    except TypeError:
        return
    for value in values:
        if isinstance(value, (str, os.PathLike)):
            yield from _path(value)
        elif isinstance(value, (list, tuple)):
            yield from _listed(value, depth)
        elif depth and isinstance(value, Sized) and hasattr(value, "__getitem__") and hasattr(value, "__dict__"):
            yield from _paths(value, depth - 1)


def _listed(values: list[Any] | tuple[Any, ...], depth: int) -> Iterator[str]:
    """Yield the paths in a list of paths, of (path, label) pairs or of datasets."""
    for value in values[:: max(1, len(values) // MOST_FILES)]:
        for part in value if isinstance(value, tuple) else (value,):
            if isinstance(part, (str, os.PathLike)):
                yield from _path(part)
            elif depth and hasattr(part, "__getitem__") and hasattr(part, "__dict__"):
                yield from _paths(part, depth - 1)


def _path(text: str | os.PathLike[Any]) -> Iterable[str]:
    name = os.fspath(text)
    # A word without a separator is a split or a label more often than a file; Path objects are always meant.
    meant = isinstance(name, str) and (os.sep in name or isinstance(text, Path) or os.path.isfile(name))
    return (name,) if meant and "\0" not in name else ()
