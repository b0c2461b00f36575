"""``AsyncCheckpointer``: versioned, time-stamped checkpoints from a bounded pool of writers."""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import queue
import re
import tempfile
import threading
from concurrent.futures import Future
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from gputune.probes.runtime.checkpoint import torch_names
from gputune.probes.runtime.checkpoint.archive import fcntl, fsync_directory, remove_remains
from gputune.probes.runtime.checkpoint.capture import capture
from gputune.probes.runtime.checkpoint.destination import Destination, resolve
from gputune.probes.runtime.checkpoint.lane import Finished, SaveLane, WriterKind
from gputune.probes.runtime.checkpoint.saver import DEFAULT_WRITER, AsyncSaveError

_PREFIX = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.]*")


@dataclass(frozen=True)
class Checkpoint:
    """One durable checkpoint file."""

    path: Path
    version: int
    step: int | None
    metric: float | None


class AsyncCheckpointer:
    """Writes checkpoints behind the training loop.

    :meth:`save` returns once the state is copied. At most ``max_workers`` files are being written; one more
    waits, which bounds the memory to that many copies. Files are called ``PREFIX-vVERSION-sSTEP-TIME.pt``, in
    UTC; the version goes on counting after a restart, and a lock keeps a second writer out of the same names.

    Args:
        directory: made if it does not exist.
        max_workers: files written at the same time.
        keep_last: keep that many of the newest; None keeps all.
        keep_best: keep that many of the best by ``metric`` besides; needs a metric with each save.
        mode: "min" when a lower metric is better, "max" when a higher one is.
        prefix: what the names start with; give each rank its own.
        writer: "thread" or "process".

    Raises:
        ValueError: a number below 1 or an unusable prefix.
        AsyncSaveError: another checkpointer writes this prefix here.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        max_workers: int = 2,
        keep_last: int | None = None,
        keep_best: int | None = None,
        *,
        mode: Literal["min", "max"] = "min",
        prefix: str = "checkpoint",
        writer: WriterKind = DEFAULT_WRITER,
    ) -> None:
        for name, value in (("max_workers", max_workers), ("keep_last", keep_last), ("keep_best", keep_best)):
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, not {value}")
        if mode not in ("min", "max") or not _PREFIX.fullmatch(prefix):
            raise ValueError(f"mode {mode!r} must be min or max and prefix {prefix!r} letters, digits, '_' or '.'")
        self.directory = Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self._keep_last, self._keep_best, self._mode, self._prefix = keep_last, keep_best, mode, prefix
        self._lock = threading.RLock()
        self._lock_fd = self._take_lock()
        remove_remains(str(self.directory))
        self._index = self.directory / f".{prefix}.index.json"
        self._checkpoints = self._read_index()
        self._next_version = 1 + max([c.version for c in self._checkpoints] + self._versions_on_disk(), default=0)
        self._lanes = [SaveLane(writer) for _ in range(max_workers)]
        self._free: queue.SimpleQueue[SaveLane] = queue.SimpleQueue()
        for lane in self._lanes:
            self._free.put(lane)
        self._failures: list[BaseException] = []
        self._closed = False

    def save(self, state: object, *, step: int | None = None, metric: float | None = None) -> Future[Checkpoint]:
        """Copy ``state`` and write it in the background; the future resolves when the file is durable.

        Raises:
            AsyncSaveError: an earlier checkpoint could not be written, or the directory is gone.
            ValueError: ``keep_best`` without a metric.
        """
        self._raise_failures()
        if self._closed:
            raise AsyncSaveError(f"the checkpointer of {self.directory} is closed")
        if self._keep_best is not None and metric is None:
            raise ValueError(f"keep_best={self._keep_best} needs a metric with each save")
        captured = capture(state, torch_names.DEFAULT_PICKLE, torch_names.DEFAULT_PROTOCOL, omit_byteorder=False)
        with self._lock:
            version, self._next_version = self._next_version, self._next_version + 1
        checkpoint = Checkpoint(self.directory / self._name(version, step), version, step, metric)
        where = resolve(checkpoint.path)
        if not isinstance(where, Destination):
            raise AsyncSaveError(f"{checkpoint.path} cannot be written: {where}")
        future: Future[Checkpoint] = Future()
        lane = self._free.get()
        try:
            lane.submit(captured, where, lambda: self._finisher(lane, checkpoint, future))
        except BaseException:
            self._free.put(lane)
            raise
        return future

    def latest(self) -> Checkpoint | None:
        """Return the newest durable checkpoint."""
        with self._lock:
            return max(self._checkpoints, key=lambda c: c.version, default=None)

    def best(self) -> Checkpoint | None:
        """Return the durable checkpoint with the best metric."""
        with self._lock:
            return next(iter(self._by_merit()), None)

    def wait(self) -> None:
        """Block until everything saved so far is durable.

        Raises:
            AsyncSaveError: something could not be written.
        """
        for lane in self._lanes:
            lane.wait()
        self._raise_failures()

    def close(self) -> None:
        """Finish, and give threads, processes, memory and the lock back.

        Raises:
            AsyncSaveError: something could not be written.
        """
        if not self._closed:
            self._closed = True
            for lane in self._lanes:
                lane.close()
            os.close(self._lock_fd)
        self._raise_failures()

    def __enter__(self) -> AsyncCheckpointer:
        return self

    def __exit__(self, kind: Any, *_rest: object) -> None:
        # The user's own exception says more than a failed write that it may well have caused.
        with contextlib.suppress(AsyncSaveError) if kind is not None else contextlib.nullcontext():
            self.close()

    def _finisher(self, lane: SaveLane, checkpoint: Checkpoint, future: Future[Checkpoint]) -> Finished:
        def finished(failure: BaseException | None) -> None:
            try:
                if failure is None:
                    self._admit(checkpoint)
            except OSError as error:  # the file is durable, its index is not: the user has to know
                failure = error
            self._free.put(lane)
            if failure is None:
                future.set_result(checkpoint)
            else:
                self._failures.append(failure)
                future.set_exception(failure)

        return finished

    def _admit(self, checkpoint: Checkpoint) -> None:
        """List the new file, then drop what need not be kept: in this order, and only after it is durable."""
        with self._lock:
            self._checkpoints.append(checkpoint)
            kept = self._kept()
            dropped = [c for c in self._checkpoints if c not in kept]
            self._checkpoints = [c for c in self._checkpoints if c in kept]
            self._write_index()
            for old in dropped:
                old.path.unlink(missing_ok=True)

    def _kept(self) -> list[Checkpoint]:
        if self._keep_last is None and self._keep_best is None:
            return list(self._checkpoints)
        newest = sorted(self._checkpoints, key=lambda c: c.version)
        # The newest always stays: it is what a restart needs, also when only the best are asked for.
        return newest[-(self._keep_last or 1) :] + self._by_merit()[: self._keep_best or 0]

    def _by_merit(self) -> list[Checkpoint]:
        rated = [c for c in self._checkpoints if c.metric is not None and c.metric == c.metric]
        sign = 1.0 if self._mode == "min" else -1.0
        return sorted(rated, key=lambda c: (sign * (c.metric or 0.0), -c.version))

    def _name(self, version: int, step: int | None) -> str:
        now = datetime.datetime.now(datetime.UTC).strftime("%Y%m%dT%H%M%S.%fZ")
        middle = "" if step is None else f"-s{step:08d}"
        return f"{self._prefix}-v{version:06d}{middle}-{now}.pt"

    def _versions_on_disk(self) -> list[int]:
        pattern = re.compile(re.escape(self._prefix) + r"-v(\d+)-")
        return [int(m.group(1)) for name in os.listdir(self.directory) if (m := pattern.match(name))]

    def _read_index(self) -> list[Checkpoint]:
        try:
            rows = json.loads(self._index.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return []
        known = [Checkpoint(self.directory / row.pop("path"), **row) for row in rows]
        return [checkpoint for checkpoint in known if checkpoint.path.exists()]

    def _write_index(self) -> None:
        rows = [{**asdict(c), "path": c.path.name} for c in self._checkpoints]
        fd, temporary = tempfile.mkstemp(prefix=self._index.name, dir=self.directory)
        with os.fdopen(fd, "w", encoding="utf-8") as file:
            json.dump(rows, file)
            file.flush()
            os.fsync(fd)
        os.replace(temporary, self._index)
        fsync_directory(str(self.directory))

    def _take_lock(self) -> int:
        fd = os.open(self.directory / f".{self._prefix}.lock", os.O_RDWR | os.O_CREAT, 0o666)
        if fcntl is not None:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(fd)
                raise AsyncSaveError(
                    f"another checkpointer writes {self._prefix!r} in {self.directory}; choose a prefix"
                ) from None
        return fd

    def _raise_failures(self) -> None:
        if self._failures:
            error = self._failures.pop(0)
            raise AsyncSaveError(f"a checkpoint in {self.directory} was not written: {error}") from error
