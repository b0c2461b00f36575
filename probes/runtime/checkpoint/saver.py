"""``torch.save`` for unmodified scripts: returns once the state is copied; the files are the same."""

from __future__ import annotations

import functools
import logging
import os
import sys
from collections.abc import Callable
from typing import Any

import torch

from gputune.probes.runtime.checkpoint import torch_names
from gputune.probes.runtime.checkpoint.archive import remove_remains
from gputune.probes.runtime.checkpoint.barriers import Barriers
from gputune.probes.runtime.checkpoint.capture import Capture, capture
from gputune.probes.runtime.checkpoint.destination import Destination, resolve
from gputune.probes.runtime.checkpoint.lane import Finished, SaveLane, WriterKind
from gputune.probes.runtime.checkpoint.memory import available_bytes
from gputune.probes.runtime.checkpoint.pending import PendingPaths

DEFAULT_WRITER: WriterKind = "thread"
"""Both kinds leave training alike (results/reference/checkpoint.json); a thread is done sooner and needs no
second
process with torch in it. A process finishes the file even when the training process is killed."""
_MEMORY_SHARE = 0.5
"""A copy larger than this share of the free memory is not made; the save is synchronous then."""

torch_save = torch.save


class AsyncSaveError(RuntimeError):
    """An earlier asynchronous save failed; the file that was there before it is untouched."""


class AsyncSaver:
    """The state behind :func:`install_async_save`: one lane, the pending files, the failures not yet told.

    Args:
        writer: "thread" or "process".
        synchronous: what saves the rest; torch's own function unless somebody stands in its place.
    """

    def __init__(self, writer: WriterKind, synchronous: Callable[..., None] = torch_save) -> None:
        self._synchronous = synchronous
        self.pending = PendingPaths()
        self.synchronous_reasons: dict[str, int] = {}
        """Why saves were left synchronous, and how often: for reports."""
        self.saves = 0
        """Saves made asynchronously."""
        self._writer = writer
        self._barriers = Barriers(self.pending)
        self._failures: list[tuple[str, BaseException]] = []
        self._swept: set[str] = set()
        self._replaced = self.is_installed = False
        self._make_lane()

    def _make_lane(self) -> None:
        self._lane = SaveLane(self._writer, on_start=self.pending.mark_internal)

    def install(self, *, replace: bool = True) -> None:
        """Put :meth:`save` in place of ``torch.save`` and watch the files.

        Args:
            replace: False where somebody who calls :meth:`save` stands there already.
        """
        self._replaced, self.is_installed = replace, True
        if replace:

            @functools.wraps(torch_save)
            def save(*args: Any, **kwargs: Any) -> None:
                self.save(*args, **kwargs)

            torch.save = torch.serialization.save = save
        self._barriers.install()

    def uninstall(self) -> None:
        """Finish what is under way and put torch's own function back.

        Raises:
            AsyncSaveError: the last save failed.
        """
        self.is_installed = False
        if self._replaced:
            torch.save = torch.serialization.save = torch_save
        self._barriers.uninstall()
        self.close()

    def warm_up(self) -> None:
        """Do beforehand what the first save would wait for: start the writer process."""
        self._lane.warm_up()

    def close(self) -> None:
        """Finish what is under way and give threads, processes and memory back.

        Raises:
            AsyncSaveError: the last save failed.
        """
        self.pending.wait_all()
        self._lane.close()
        self.raise_failures()

    def save(
        self,
        obj: object,
        f: Any,
        pickle_module: Any = torch_names.DEFAULT_PICKLE,
        pickle_protocol: int = torch_names.DEFAULT_PROTOCOL,
        _use_new_zipfile_serialization: bool = True,
        _disable_byteorder_record: bool = False,
    ) -> None:
        """Like ``torch.save``, but returns when ``obj`` may change again instead of when the file is written.

        Raises:
            AsyncSaveError: the previous save failed.
            whatever ``torch.save`` raises for ``obj`` or ``f``.
        """
        self.raise_failures()
        where = self._destination(f, zipfile=_use_new_zipfile_serialization)
        captured: Capture | str = where if isinstance(where, str) else ""
        if not isinstance(where, str):
            torch_names.check_pickle_module(pickle_module)
            captured = self._capture(obj, pickle_module, pickle_protocol, _disable_byteorder_record)
        if isinstance(where, Destination) and isinstance(captured, Capture):
            captured = self._submit(captured, where)
        if captured:
            self._note_synchronous(str(captured))
            self._synchronous(
                obj,
                f,
                pickle_module,
                pickle_protocol,
                _use_new_zipfile_serialization,
                _disable_byteorder_record,
            )

    def flush(self) -> None:
        """Block until every file is durable.

        Raises:
            AsyncSaveError: one could not be written.
        """
        self.pending.wait_all()
        self.raise_failures()

    def raise_failures(self) -> None:
        """Raise the oldest failure nobody has heard of yet."""
        if self._failures:
            path, error = self._failures.pop(0)
            raise AsyncSaveError(f"asynchronous torch.save({path!r}) failed: {error}") from error

    def _destination(self, f: Any, *, zipfile: bool) -> Destination | str:
        if not zipfile:
            return "the old format was asked for"
        if torch_names.is_skipping_data() or self.pending.is_internal():
            return "skip_data is in force"
        where = resolve(f)
        if isinstance(where, Destination):
            self._sweep(os.path.dirname(where.target))
        elif isinstance(f, str | os.PathLike):
            # torch opens the file in C++, which no barrier sees.
            self.pending.wait(os.path.realpath(os.fsdecode(f)))
        return where

    def _capture(self, obj: object, module: Any, protocol: int, omit_byteorder: bool) -> Capture | str:
        captured = capture(obj, module, protocol, omit_byteorder=omit_byteorder)
        room = available_bytes() * _MEMORY_SHARE + self._lane.arena.capacity_bytes
        return captured if captured.size_bytes() <= room else "its copy would not fit into memory"

    def _submit(self, captured: Capture, where: Destination) -> str | Capture:
        """Hand the state over; returns an empty reason, or why it has to be written synchronously."""

        def begin() -> Finished:
            ticket = self.pending.begin(where.target)
            return functools.partial(self._finished, where.target, ticket)

        try:
            self._lane.submit(captured, where, begin)
        except (OSError, MemoryError) as error:
            return f"its copy could not be made ({error})"
        self.saves += 1
        return ""

    def _finished(self, path: str, ticket: int, failure: BaseException | None) -> None:
        if failure is not None:
            self._failures.append((path, failure))
            say(f"asynchronous torch.save({path!r}) FAILED: {failure}")
        self.pending.end(path, ticket)

    def _note_synchronous(self, reason: str) -> None:
        self.synchronous_reasons[reason] = self.synchronous_reasons.get(reason, 0) + 1

    def _sweep(self, directory: str) -> None:
        if directory not in self._swept:
            self._swept.add(directory)
            remove_remains(directory)

    def at_exit(self) -> None:
        """Finish the last file; a failure nobody has heard of becomes the exit status."""
        self.pending.wait_all(inherited=False)
        if self._failures:
            say("leaving with status 1: the last checkpoint was not written")
            logging.shutdown()
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(1)

    def after_fork_in_child(self) -> None:
        """Start afresh in a forked child; see :class:`PendingPaths`."""
        self._lane.abandon_after_fork()
        self.pending.after_fork_in_child(os.getppid())
        self._failures = []
        self._make_lane()


def say(message: str) -> None:
    """Tell the user on stderr, from whatever thread."""
    print(f"gputune: {message}", file=sys.stderr, flush=True)
