"""Stands in place of ``torch.save``: times it on the main thread, and has it written behind it when asked to.

The stand-in stays for the whole process and only what it calls changes, so a script that did
``from torch import save`` follows every switch.
"""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from gputune.probes.burst import StallKind
from gputune.probes.settings import AsyncCheckpoint

if TYPE_CHECKING:
    from gputune.probes.runtime.checkpoint import AsyncSaver
    from gputune.probes.runtime.checkpoint.lane import WriterKind

Report = Callable[[StallKind, float, float], None]


class Saving:
    """How this process saves.

    Args:
        report: told kind, start and duration of each call on the main thread; ``None`` where nobody measures.
    """

    def __init__(self, report: Report | None = None) -> None:
        self._report = report
        self._trouble: Exception | None = None
        self._original: Callable[..., Any] | None = None
        self._kind: AsyncCheckpoint = "off"
        self._saver: AsyncSaver | None = None

    def install(self) -> None:
        """Take the place of ``torch.save``."""
        import torch

        # While torch itself is being imported its serialisation is there before its name at the top is.
        self._original = original = getattr(torch, "save", None) or torch.serialization.save

        @functools.wraps(original)
        def save(*args: Any, **kwargs: Any) -> Any:
            call = self._chosen(original)
            if self._report is None or threading.current_thread() is not threading.main_thread():
                return call(*args, **kwargs)
            start = time.monotonic()
            try:
                return call(*args, **kwargs)
            finally:
                self._report(StallKind.CHECKPOINT, start, time.monotonic() - start)

        torch.save = torch.serialization.save = save

    def use(self, kind: AsyncCheckpoint) -> None:
        """Save in this way from now on; what is being written is finished first.

        Where somebody measures, the writer is started at once: a trial must not pay for it in its first save.

        Raises:
            RuntimeError: the last asynchronous save failed, or this torch cannot do it.
        """
        if kind != self._kind:
            self._kind, saver, self._saver = kind, self._saver, None
            if saver is not None:
                from gputune.probes.runtime.checkpoint import uninstall_async_save

                uninstall_async_save()
        if self._kind != "off" and self._saver is None and self._report is not None:
            self._begin(self._kind).warm_up()

    def failure(self) -> Exception | None:
        """Return, once, what a save behind the training thread failed with."""
        trouble, self._trouble = self._trouble, None
        return trouble

    def _begin(self, kind: WriterKind) -> AsyncSaver:
        from gputune.probes.runtime.checkpoint import install_async_save, is_async_save_installed

        assert self._original is not None
        self._kind = "off"  # until it is on
        if is_async_save_installed():
            raise RuntimeError("the script saves asynchronously itself")
        saver = install_async_save(kind, in_place_of=self._original)
        if saver is None:
            raise RuntimeError("torch.save cannot be made asynchronous with this torch")
        self._kind, self._saver = kind, saver
        return saver

    def _chosen(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """Return what saves now."""
        if self._kind != "off" and self._saver is None:
            try:
                self._begin(self._kind)
            except RuntimeError as error:  # the user's save must not suffer from it
                self._trouble = error
        if self._saver is None or not self._saver.is_installed:
            return original
        return self._saver.save if self._report is None else self._save_on_trial

    def _save_on_trial(self, *args: Any, **kwargs: Any) -> Any:
        """Save, but keep the failure of an earlier save away from the user: it is the trial's."""
        from gputune.probes.runtime.checkpoint import AsyncSaveError

        assert self._saver is not None
        assert self._original is not None
        try:
            return self._saver.save(*args, **kwargs)
        except AsyncSaveError as error:
            self._trouble = error
            return self._original(*args, **kwargs)
