"""Copies of device storages into the arena.

On CUDA they run on a side stream into pinned memory: the call returns without waiting for them, work queued
later on the current stream waits for them (so an optimiser step cannot overtake), and the writer waits for
the last one. Measured on a GPU: not yet (no GPU was at hand); the CPU suite covers the ordering rules only
through other devices' synchronous path.
"""

from __future__ import annotations

from typing import Any

import torch

from gputune.probes.runtime.checkpoint.staging import Arena


class DeviceCopy:
    """The device copies of one save."""

    def __init__(self, arena: Arena) -> None:
        self._arena = arena
        self._streams: dict[torch.device, Any] = {}
        self._events: list[Any] = []
        self._sources: list[torch.Tensor] = []

    def start(self, storage: torch.UntypedStorage, offset: int) -> None:
        """Copy ``storage`` to ``offset``: asynchronously from CUDA, else as ``torch.save`` does."""
        if storage.device.type != "cuda" or not self._arena.pin():
            self._arena.copy_cpu(storage.cpu(), offset)  # type: ignore[no-untyped-call]
            return
        source = torch.empty(0, dtype=torch.uint8, device=storage.device).set_(storage)
        with torch.cuda.stream(self._side_stream(storage.device)):
            self._arena.tensor(offset, storage.nbytes()).copy_(source, non_blocking=True)
        # Freed while the copy runs, the block could be handed to other work: hold it until the writer has
        # waited.
        self._sources.append(source)

    def order_before_later_work(self) -> None:
        """Make the current stream of each device wait for the copies, without blocking the host."""
        for device, stream in self._streams.items():
            event = torch.cuda.Event()  # type: ignore[no-untyped-call]
            event.record(stream)
            torch.cuda.current_stream(device).wait_event(event)
            self._events.append(event)

    def wait(self) -> None:
        """Block until every copy has landed; called by the writer, never by the training thread."""
        for event in self._events:
            event.synchronize()
        self._events.clear()
        self._sources.clear()

    def _side_stream(self, device: torch.device) -> Any:
        if device not in self._streams:
            stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
            stream.wait_stream(torch.cuda.current_stream(device))
            self._streams[device] = stream
        return self._streams[device]
