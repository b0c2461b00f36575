"""One save at a time: an arena, the thread that empties it, and the rule that the next save waits for it."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch

from gputune.probes.runtime.checkpoint import torch_names
from gputune.probes.runtime.checkpoint.archive import WriteJob, write_durably
from gputune.probes.runtime.checkpoint.capture import Capture
from gputune.probes.runtime.checkpoint.destination import Destination
from gputune.probes.runtime.checkpoint.device_copy import DeviceCopy
from gputune.probes.runtime.checkpoint.staging import Arena
from gputune.probes.runtime.checkpoint.writer_process import WriterProcess

WriterKind = Literal["thread", "process"]
_BACKGROUND_NICENESS = 5
"""Training goes first, but the next save waits for this one: at 10 busy loader workers starve it."""

Finished = Callable[[BaseException | None], None]


@dataclass(frozen=True)
class _Order:
    job: WriteJob
    device_copy: DeviceCopy
    finished: Finished


class SaveLane:
    """Writes captured states one after the other.

    Args:
        writer: "thread" writes in a thread of this process, "process" in a helper process that maps the
        arena. on_start: called once in the writer's thread, before it writes anything.
    """

    def __init__(self, writer: WriterKind, on_start: Callable[[], None] = lambda: None) -> None:
        self.arena = Arena()
        self._process = WriterProcess() if writer == "process" else None
        self._on_start = on_start
        self._orders: queue.SimpleQueue[_Order | None] = queue.SimpleQueue()
        self._idle = threading.Event()
        self._idle.set()
        self._turn = threading.RLock()
        self._inside = False
        self._thread: threading.Thread | None = None

    def submit(self, captured: Capture, destination: Destination, begin: Callable[[], Finished]) -> None:
        """Wait for the previous write, copy ``captured`` and hand it to the writer.

        ``begin`` is called once the copy is safe; what it returns is called in the writer's thread when the
        file is durable (with None) or cannot be written (with the error).

        Raises:
            OSError, RuntimeError: the copy could not be made; nothing is written then.
        """
        with self._turn:
            if self._inside:
                # Only a signal handler gets here: it interrupted this thread while it was filling the arena.
                raise OSError("a signal handler saves in the middle of another save")
            self._inside = True
            try:
                self._submit(captured, destination, begin)
            finally:
                self._inside = False

    def _submit(self, captured: Capture, destination: Destination, begin: Callable[[], Finished]) -> None:
        self._idle.wait()
        records, device_copy = captured.stage(self.arena)
        job = WriteJob(
            destination=destination,
            records=records,
            compute_crc32=torch.serialization.get_crc32_options(),
            alignment=torch_names.storage_alignment(),
        )
        if self._thread is None:
            thread = threading.Thread(target=self._serve, name="gputune-save", daemon=True)
            thread.start()
            self._thread = thread
        finished, handed_over = begin(), False
        try:
            self._idle.clear()
            self._orders.put(_Order(job, device_copy, finished))
            handed_over = True
        finally:
            if not handed_over:  # a signal handler raised just here: nobody must wait for this file
                self._idle.set()
                finished(InterruptedError("the save was interrupted"))

    def warm_up(self) -> None:
        """Start the writer process, if that is what writes, and wait until it is ready."""
        if self._process is not None:
            self._process.warm_up()

    def is_idle(self) -> bool:
        """Tell whether the next :meth:`submit` would start copying at once."""
        return self._idle.is_set()

    def wait(self) -> None:
        """Block until nothing is being written."""
        self._idle.wait()

    def close(self) -> None:
        """Finish what is under way, end the thread and the process, give the memory back."""
        self._idle.wait()
        if self._thread is not None:
            self._orders.put(None)
            self._thread.join()
            self._thread = None
        if self._process is not None:
            self._process.close()
        self.arena.close()

    def abandon_after_fork(self) -> None:
        """In a forked child: let go of what belongs to the parent without touching its writer."""
        if self._process is not None:
            self._process.abandon()
        self.arena = Arena()

    def _serve(self) -> None:
        self._on_start()
        _lower_priority()
        while (order := self._orders.get()) is not None:
            failure: BaseException | None = None
            try:
                order.device_copy.wait()
                if self._process is None or not self._process.write(order.job, self.arena):
                    write_durably(order.job, self.arena)

            # Whatever it is, the user hears of it at the next save.
            except BaseException as error:  # noqa: BLE001
                failure = error
            try:
                order.finished(failure)
            finally:
                self._idle.set()


def _lower_priority() -> None:
    """Let training threads go first; only Linux gives each thread a niceness of its own."""
    if hasattr(os, "setpriority") and os.path.isdir("/proc/self/task"):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _BACKGROUND_NICENESS)
