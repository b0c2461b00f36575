"""Times every batch inside the loader's workers and ships the stamps without touching the batch.

One anonymous memory file (memfd: no name, nothing to clean up) holds a ring a worker; each ring has one writer and
publishes its count last, so no lock is needed. Forked workers inherit the mapping, spawned ones open it through
``/proc/<pid>/fd``. ``CLOCK_MONOTONIC`` is one clock for all processes of a machine.
"""

from __future__ import annotations

import mmap
import os
import struct
import time
from collections.abc import Callable
from typing import Any

from gputune.probes.agent.board import BYTES as BOARD_BYTES
from gputune.probes.agent.board import Board
from gputune.probes.agent.diagnosis import sample_worker
from gputune.probes.burst import WorkerBatch

_STAMP = struct.Struct("<6d")  # start, fetch, collate, cpu, idle, process cpu: seconds
_COUNT = struct.Struct("<Q")
SLOTS = 128
"""Workers beyond this many share rings with earlier ones and are not timed."""
STAMPS = 512
_SLOT_BYTES = 64 + STAMPS * _STAMP.size
_BYTES = SLOTS * _SLOT_BYTES + BOARD_BYTES
_ASKED = 16
"""Offset, in the first slot's header, of the byte that says whether get_worker_info() was called."""


class Ring:
    """The shared memory; created in the training process, mapped again in workers that were not forked."""

    def __init__(self, path: str = "") -> None:
        self._read = [0] * SLOTS
        self.fd = -1
        """The creator's descriptor, through which others map the same memory."""
        if path:
            fd = os.open(path, os.O_RDWR)
            self.path = path
            self._map = mmap.mmap(fd, _BYTES)
            os.close(fd)
            self.board = Board(self._map, SLOTS * _SLOT_BYTES)
            return
        fd = os.memfd_create("gputune-clock", os.MFD_CLOEXEC)
        os.ftruncate(fd, _BYTES)
        self._map = mmap.mmap(fd, _BYTES)
        self.board = Board(self._map, SLOTS * _SLOT_BYTES)
        self.fd = fd
        self.path = f"/proc/{os.getpid()}/fd/{fd}"

    def put(self, slot: int, *stamp: float) -> None:
        """Append one stamp, in the order of ``_STAMP``; only the slot's own worker may call this."""
        base = slot * _SLOT_BYTES
        (count,) = _COUNT.unpack_from(self._map, base)
        _STAMP.pack_into(self._map, base + 64 + (count % STAMPS) * _STAMP.size, *stamp)
        _COUNT.pack_into(self._map, base, count + 1)

    def note_worker_info(self) -> None:
        """Remember that the dataset asked which worker it is in; called in the training process and in workers."""
        self._map[_ASKED] = 1

    def worker_info_asked(self) -> bool:
        """Whether :meth:`note_worker_info` was called in any process."""
        return self._map[_ASKED] == 1

    def drain(self) -> list[WorkerBatch]:
        """Return the stamps published since the last call, oldest first (those overwritten meanwhile are lost)."""
        found: list[WorkerBatch] = []
        for slot in range(SLOTS):
            base = slot * _SLOT_BYTES
            (count,) = _COUNT.unpack_from(self._map, base)
            for index in range(max(self._read[slot], count - STAMPS), count):
                stamp = _STAMP.unpack_from(self._map, base + 64 + (index % STAMPS) * _STAMP.size)
                found.append(WorkerBatch(slot, *stamp))
            self._read[slot] = count
        found.sort(key=lambda batch: batch.start_s)
        return found


class FetchTimer:
    """Wraps a dataset fetcher's ``fetch`` and ``collate_fn`` and stamps each batch into a ring."""

    def __init__(self, fetcher: Any, ring: Ring, slot: int) -> None:
        self._fetch, self._ring, self._slot = fetcher.fetch, ring, slot
        self._collate = getattr(fetcher, "collate_fn", None)
        self._collate_s = 0.0
        self.idle_since_s = time.monotonic()
        fetcher.fetch = self.fetch
        if self._collate is not None:
            fetcher.collate_fn = self.collate

    def collate(self, samples: Any) -> Any:
        """Run the user's collate function and note its time."""
        assert self._collate is not None
        begin = time.monotonic()
        try:
            return self._collate(samples)
        finally:
            self._collate_s = time.monotonic() - begin

    def fetch(self, indices: Any) -> Any:
        """Fetch one batch and publish its stamp."""
        self._collate_s = 0.0
        start, cpu, process_cpu = time.monotonic(), time.thread_time(), time.process_time()
        batch = self._fetch(indices)
        process_cpu, cpu, end = time.process_time() - process_cpu, time.thread_time() - cpu, time.monotonic()
        fetch_s = end - start - self._collate_s
        idle_s = max(0.0, start - self.idle_since_s)
        self._ring.put(self._slot, start, fetch_s, self._collate_s, cpu, idle_s, process_cpu)
        self.idle_since_s = end
        return batch


class ClockedWorkerLoop:
    """Takes the place of torch's ``_worker_loop`` as the target of worker processes; picklable for spawn."""

    __name__ = "_worker_loop"

    def __init__(self, ring: Ring) -> None:
        self._ring: Ring | None = ring
        self._path = ring.path

    def __getstate__(self) -> dict[str, Any]:
        return {"_path": self._path, "_ring": None}

    def __call__(self, *arguments: Any) -> Any:
        """Run the worker with its fetcher timed. The worker's number is torch's argument of that name."""
        from torch.utils.data import _utils
        from torch.utils.data.dataloader import _DatasetKind

        loop = _utils.worker._worker_loop
        original: Callable[..., Any] = getattr(loop, "original", loop)
        names = original.__code__.co_varnames[: original.__code__.co_argcount]
        worker = int(arguments[names.index("worker_id")])
        if worker < SLOTS:
            ring = self._ring or Ring(self._path)
            sample_worker(ring.board, worker)
            kind: Any = _DatasetKind
            create = getattr(kind, "create_fetcher", None)
            if create is None:  # a torch we do not know: batches are made, and not timed
                return original(*arguments)

            def create_timed(*args: Any, **kwargs: Any) -> Any:
                fetcher = create(*args, **kwargs)
                FetchTimer(fetcher, ring, worker)
                return fetcher

            kind.create_fetcher = staticmethod(create_timed)
        return original(*arguments)

    @property
    def original(self) -> Any:
        """Torch's own loop."""
        return _ORIGINAL_LOOP[0]


_ORIGINAL_LOOP: list[Any] = []


def install(ring: Ring) -> None:
    """Make torch start workers with a clocked loop, if it starts them as we know."""
    from torch.utils.data import _utils

    worker: Any = _utils.worker
    if not hasattr(worker, "_worker_loop"):
        return
    _ORIGINAL_LOOP[:] = [worker._worker_loop]
    worker._worker_loop = ClockedWorkerLoop(ring)
