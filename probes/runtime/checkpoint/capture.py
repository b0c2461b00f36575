"""Phase one of a save, in the caller: torch's own pickler into a recording writer, one copy a storage."""

from __future__ import annotations

import contextlib
import types
from dataclasses import dataclass, field
from typing import Any

import torch

from gputune.probes.runtime.checkpoint import torch_names
from gputune.probes.runtime.checkpoint.device_copy import DeviceCopy
from gputune.probes.runtime.checkpoint.staging import Arena, aligned


@dataclass(frozen=True)
class Record:
    """One member of the archive and where its bytes lie in the arena."""

    name: str
    offset: int
    size_bytes: int
    is_storage: bool


@dataclass
class Capture:
    """What the pickler produced: small records as bytes, storages by reference (not copied yet)."""

    entries: list[tuple[str, bytes | torch.UntypedStorage]] = field(default_factory=list)

    def size_bytes(self) -> int:
        """Return the arena bytes this needs, alignment included."""
        return sum(aligned(_size(data)) for _, data in self.entries)

    def stage(self, arena: Arena) -> tuple[tuple[Record, ...], DeviceCopy]:
        """Copy everything into ``arena``; returns the records and the device copies still under way.

        When this returns, CPU memory may change at once, and device memory may change by any later work on
        the device's current stream.
        """
        arena.reserve(max(self.size_bytes(), 1))
        device_copy = DeviceCopy(arena)
        records, offset = [], 0
        for name, data in self.entries:
            size = _size(data)
            records.append(Record(name, offset, size, not isinstance(data, bytes)))
            if isinstance(data, bytes):
                arena.put(offset, data)
            elif size and data.device.type == "cpu":
                arena.copy_cpu(data, offset)
            elif size:
                device_copy.start(data, offset)
            offset += aligned(size)
        device_copy.order_before_later_work()
        return tuple(records), device_copy


def _size(data: bytes | torch.UntypedStorage) -> int:
    return len(data) if isinstance(data, bytes) else data.nbytes()


class _RecordingWriter:
    """Stands in for torch's zip writer: keeps what it is given, in order."""

    def __init__(self, storages: dict[str, torch.UntypedStorage]) -> None:
        self.capture = Capture()
        self._storages = storages
        self._until_done = contextlib.ExitStack()

    def __enter__(self) -> _RecordingWriter:
        return self

    def __exit__(self, *_exception: object) -> None:
        self._until_done.close()

    def write_record(self, name: str, data: str | bytes, size: int) -> None:
        if not self.capture.entries:  # the pickle is complete; only storages follow
            self._until_done.enter_context(torch_names.announcing_storages())
        raw = data.encode() if isinstance(data, str) else bytes(data)
        self.capture.entries.append((name, raw[:size]))

    def write_record_metadata(self, name: str, size: int) -> None:
        """Called in place of a storage's bytes."""
        self.capture.entries.append((name, self._storages[name.removeprefix("data/")]))


def capture(obj: object, pickle_module: Any, protocol: int, *, omit_byteorder: bool) -> Capture:
    """Pickle ``obj`` now, as ``torch.save`` would, without copying a storage.

    Raises:
        whatever pickling raises; nothing has been written then.
    """
    storages: dict[str, torch.UntypedStorage] = {}
    noticing = _noticing_module(pickle_module, storages)
    with _RecordingWriter(storages) as writer:
        torch_names.run_torch_pickler(obj, writer, noticing, protocol, omit_byteorder=omit_byteorder)
    return writer.capture


def _noticing_module(pickle_module: Any, storages: dict[str, torch.UntypedStorage]) -> Any:
    """Return a pickle module whose Pickler also tells us which storage stands behind each key.

    torch derives its pickler from ``pickle_module.Pickler`` and defines ``persistent_id`` on it; wrapping
    that method when the class is made leaves every decision (keys, sharing, location tags) to torch.
    """

    class Pickler(pickle_module.Pickler):  # type: ignore[misc]
        def __init_subclass__(cls, **options: Any) -> None:
            super().__init_subclass__(**options)
            inner = cls.__dict__["persistent_id"]

            def persistent_id(self: Any, obj: Any) -> Any:
                identity = inner(self, obj)
                if identity is not None:
                    storages[identity[2]] = torch_names.untyped(obj)
                return identity

            cls.persistent_id = persistent_id

    return types.SimpleNamespace(Pickler=Pickler)
