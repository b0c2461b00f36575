"""Switching asynchronous saving on and off, after a test that this torch behaves as we rely on."""

from __future__ import annotations

import atexit
import filecmp
import os
import tempfile
import threading
from collections.abc import Callable

import torch

from gputune.probes.runtime.checkpoint import torch_names
from gputune.probes.runtime.checkpoint.lane import WriterKind
from gputune.probes.runtime.checkpoint.saver import DEFAULT_WRITER, AsyncSaver, say, torch_save

_lock = threading.Lock()
_installed: AsyncSaver | None = None
_hooks_registered = False


def install_async_save(
    writer: WriterKind = DEFAULT_WRITER, *, in_place_of: Callable[..., None] | None = None
) -> AsyncSaver | None:
    """Make ``torch.save`` asynchronous in this process until :func:`uninstall_async_save`.

    Returns None, after saying why on stderr, where this torch does not behave as we rely on: saving stays as
    it is.

    Args:
        writer: who writes the files, "thread" or "process".
        in_place_of: torch's own function, where the caller stands in its place already and calls
            :meth:`AsyncSaver.save` itself.
    """
    global _installed, _hooks_registered
    with _lock:
        if _installed is not None:
            return _installed
        original = in_place_of or torch_save
        reason = self_test(original)
        if reason:
            say(f"torch.save stays synchronous: {reason}")
            return None
        _installed = AsyncSaver(writer, original)
        _installed.install(replace=in_place_of is None)
        if not _hooks_registered:
            atexit.register(_at_exit)
            if hasattr(os, "register_at_fork"):
                os.register_at_fork(after_in_child=_after_fork)
            _hooks_registered = True
        return _installed


def uninstall_async_save() -> None:
    """Finish all writes and restore ``torch.save``.

    Raises:
        AsyncSaveError: the last save failed.
    """
    global _installed
    with _lock:
        saver, _installed = _installed, None
    if saver is not None:
        saver.uninstall()


def is_async_save_installed() -> bool:
    """Tell whether :func:`install_async_save` is in force."""
    return _installed is not None


def self_test(synchronous: Callable[..., None] | None = None) -> str:
    """Save one small state both ways and compare the files; returns what differs, or an empty text."""
    synchronous = synchronous or torch_save
    missing = torch_names.missing_names()
    if missing:
        return f"torch {torch.__version__} has no {', '.join(missing)}"
    shared = torch.arange(6.0)
    state = {"tied": [shared, shared.view(2, 3)], "text": "ok", "empty": torch.empty(0), "step": 7}
    with tempfile.TemporaryDirectory(prefix="gputune-") as folder:
        ours, theirs = os.path.join(folder, "a", "state.pt"), os.path.join(folder, "b", "state.pt")
        for path in (ours, theirs):
            os.mkdir(os.path.dirname(path))
        saver = AsyncSaver("thread", synchronous)
        try:
            synchronous(state, theirs)
            saver.save(state, ours)
            saver.close()
        except Exception as error:  # noqa: BLE001 - any failure of the test means: do not touch torch.save
            return f"the self-test failed with {type(error).__name__}: {error}"
        if saver.saves != 1 or not filecmp.cmp(ours, theirs, shallow=False):
            return f"torch {torch.__version__} writes other bytes than the asynchronous writer"
    return ""


def _at_exit() -> None:
    if _installed is not None:
        _installed.at_exit()


def _after_fork() -> None:
    if _installed is not None:
        _installed.after_fork_in_child()
