"""Where loaders are constructed: every loader is known by the line of source that made it."""

from __future__ import annotations

import os
import site
import sys
import sysconfig
import weakref
from types import FrameType
from typing import Any

from gputune.probes.protocol import LoaderSite
from gputune.probes.settings import Settings

_OURS = os.path.dirname(os.path.abspath(__file__))
_LIBRARY_FOLDERS = tuple(
    {sysconfig.get_paths()["stdlib"], sysconfig.get_paths()["purelib"], sysconfig.get_paths()["platlib"]}
    | set(site.getsitepackages() if hasattr(site, "getsitepackages") else [])
)


class Site:
    """One construction site in this process; :meth:`record` gives its inert description."""

    def __init__(self, file: str, line: int, function: str, user_file: str, user_line: int) -> None:
        self.file, self.line, self.function = file, line, function
        self.user_file, self.user_line = user_file, user_line
        self.role = "unknown"
        self.batches = 0
        self.facts: dict[str, Any] = {}

    @property
    def key(self) -> tuple[str, int]:
        """What identifies the site within one run."""
        return self.file, self.line

    def learn(self, loader: Any) -> None:
        """Note what a loader of this site looks like now."""
        dataset = getattr(loader, "dataset", None)
        context = getattr(loader, "multiprocessing_context", None)
        self.facts = {
            "loader_class": loader.__class__.__qualname__,
            "dataset_class": type(dataset).__qualname__,
            "dataset_length": _length(dataset),
            "iterable": _is_iterable(loader),
            "batches_per_epoch": None if _is_iterable(loader) else _length(loader),
            "batch_size": getattr(loader, "batch_size", None),
            "settings": settings_of(loader),
            "start_method": _start_method(context),
        }

    def record(self) -> LoaderSite:
        """Return the site as it goes into messages and records."""
        return LoaderSite(
            file=self.file,
            line=self.line,
            function=self.function,
            user_file=self.user_file,
            user_line=self.user_line,
            role=self.role,
            batches=self.batches,
            **self.facts,
        )


class Sites:
    """All construction sites seen in this process."""

    def __init__(self) -> None:
        self._sites: dict[tuple[str, int], Site] = {}
        self._of_loader: weakref.WeakKeyDictionary[Any, Site] = weakref.WeakKeyDictionary()
        self._user_site_of_dataset: dict[int, Site] = {}

    def constructed(self, loader: Any) -> Site:
        """Register a loader that is being constructed on the current stack.

        A library that re-creates the user's loader (Lightning, Accelerate) inherits the user's site through the
        dataset, which is the same object.
        """
        found = _locate(loader)
        dataset = id(getattr(loader, "dataset", None))
        if found.user_file and found.user_file == found.file:
            self._user_site_of_dataset.setdefault(dataset, found)
        elif dataset in self._user_site_of_dataset:
            found = self._user_site_of_dataset[dataset]
        found = self._sites.setdefault(found.key, found)
        found.learn(loader)
        self._of_loader[loader] = found
        return found

    def of(self, loader: Any) -> Site:
        """Return the site of a loader; one that was never seen being constructed gets the current line."""
        try:
            known = self._of_loader.get(loader)
        except TypeError:
            known = None
        return known if known is not None else self.constructed(loader)

    def records(self) -> list[LoaderSite]:
        """Return every site's description."""
        return [found.record() for found in self._sites.values()]


def settings_of(loader: Any) -> Settings:
    """Return the settings a loader has now."""
    in_order = getattr(loader, "in_order", True)
    return Settings.make(
        num_workers=getattr(loader, "num_workers", 0),
        prefetch_factor=getattr(loader, "prefetch_factor", None),
        pin_memory=bool(getattr(loader, "pin_memory", False)),
        persistent_workers=bool(getattr(loader, "persistent_workers", False)),
        in_order=True if in_order is None else bool(in_order),
    )


def _locate(loader: Any) -> Site:
    """Walk up from the constructor to the line that called it, and on to the user's own code."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and (_is_ours(frame) or _is_torch_data(frame) or _constructs(frame, loader)):
        frame = frame.f_back
    outer = frame
    while outer is not None and is_library(outer.f_code.co_filename):
        outer = outer.f_back
    inner = frame or sys._getframe(1)
    return Site(
        inner.f_code.co_filename,
        inner.f_lineno,
        inner.f_code.co_qualname,
        outer.f_code.co_filename if outer else "",
        outer.f_lineno if outer else 0,
    )


def _is_ours(frame: FrameType) -> bool:
    return frame.f_code.co_filename.startswith(_OURS)


def _is_torch_data(frame: FrameType) -> bool:
    return "/torch/utils/data/" in frame.f_code.co_filename


def _constructs(frame: FrameType, loader: Any) -> bool:
    """Whether the frame is an ``__init__`` of the loader itself (a subclass calling super)."""
    code = frame.f_code
    if code.co_name != "__init__" or not code.co_varnames:
        return False
    return frame.f_locals.get(code.co_varnames[0]) is loader


def is_library(file: str) -> bool:
    """Whether a source file belongs to an installed library or the standard library, not to the user."""
    if file.startswith(("<frozen", "<string")) or any(file.startswith(folder) for folder in _LIBRARY_FOLDERS):
        return True
    return any(folder in file for folder in _INSTALLED)


_INSTALLED = ("/site-packages/", "/dist-packages/")
"""Where installers put libraries, also outside of this interpreter's own folders (PYTHONPATH, ``pip --target``)."""


def _is_iterable(loader: Any) -> bool:
    kind = getattr(loader, "_dataset_kind", None)
    return kind == 1 or hasattr(getattr(loader, "dataset", None), "__next__")


def _length(thing: Any) -> int | None:
    try:
        return len(thing)
    except (TypeError, NotImplementedError, AttributeError, ValueError):
        return None


def _start_method(context: Any) -> str:
    if context is not None:
        return str(getattr(context, "_name", None) or context.get_start_method())
    import multiprocessing

    return str(multiprocessing.get_start_method(allow_none=True) or multiprocessing.get_all_start_methods()[0])
