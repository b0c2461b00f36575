"""The arena: one reusable stretch of memory that holds the copied state while it is being written.

One arena for each save in flight, not one buffer for each tensor: the memory is bounded by the largest state,
first touch (which costs more than the copy) is paid once, and a writer process maps the same pages instead of
receiving them.
"""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
import warnings
from typing import Any

import torch

ROUND_TO_BYTES = 2 << 20
ALIGNMENT_BYTES = 64
_SMALL_COPY_BYTES = 256 << 10


def aligned(offset: int) -> int:
    """Return the next multiple of the arena's alignment."""
    return -(-offset // ALIGNMENT_BYTES) * ALIGNMENT_BYTES


class Arena:
    """Shared anonymous memory, grown on demand, pinned where CUDA copies into it.

    The pages are shared (a memfd on Linux) so that a fork does not make the next copy pay for copy-on-write.
    """

    def __init__(self) -> None:
        self.fd = -1
        """The memory as a file descriptor, or -1 where the platform has no memfd."""
        self.capacity_bytes = 0
        self.generation = 0
        """Counts the growths: a writer process maps the arena again when this changes."""
        self._map: mmap.mmap | None = None
        self._pinned_at = 0
        self._pin_refused = False

    @classmethod
    def attach(cls, fd: int, capacity_bytes: int) -> Arena:
        """Return an arena over memory that another process made."""
        arena = cls()
        arena.fd, arena.capacity_bytes = fd, capacity_bytes
        arena._map = mmap.mmap(fd, capacity_bytes)
        return arena

    def reserve(self, size_bytes: int) -> None:
        """Make room for ``size_bytes``; what the arena held is lost when it grows.

        Raises:
            OSError: the memory cannot be had.
        """
        if size_bytes <= self.capacity_bytes:
            return
        self.close()
        capacity = -(-size_bytes // ROUND_TO_BYTES) * ROUND_TO_BYTES
        if hasattr(os, "memfd_create"):
            self.fd = os.memfd_create("gputune-save", os.MFD_CLOEXEC)
            os.ftruncate(self.fd, capacity)
        self._map = mmap.mmap(self.fd, capacity)
        self._advise_huge_pages()
        self.capacity_bytes = capacity
        self.generation += 1

    def tensor(self, offset: int, size_bytes: int) -> torch.Tensor:
        """Return ``size_bytes`` at ``offset`` as a uint8 tensor over the arena's own memory."""
        assert self._map is not None
        return torch.frombuffer(self._map, dtype=torch.uint8, offset=offset, count=size_bytes)

    def put(self, offset: int, data: bytes) -> None:
        """Copy ``data`` to ``offset``."""
        assert self._map is not None
        self._map[offset : offset + len(data)] = data

    def bytes_at(self, offset: int, size_bytes: int) -> bytes:
        """Return a copy of ``size_bytes`` at ``offset``."""
        assert self._map is not None
        return self._map[offset : offset + size_bytes]

    def copy_cpu(self, storage: torch.UntypedStorage, offset: int) -> None:
        """Copy a CPU storage to ``offset``: large ones with torch's threads, small ones without them."""
        size = storage.nbytes()
        target = self.tensor(offset, size)
        if size < _SMALL_COPY_BYTES:
            ctypes.memmove(target.data_ptr(), storage.data_ptr(), size)
        else:
            target.copy_(torch.empty(0, dtype=torch.uint8).set_(storage))

    def pin(self) -> bool:
        """Page-lock the arena for CUDA; returns whether copies into it can be asynchronous."""
        if self._pinned_at or self._pin_refused:
            return bool(self._pinned_at)
        address = self.tensor(0, 1).data_ptr()
        runtime: Any = torch.cuda
        status = runtime.cudart().cudaHostRegister(address, self.capacity_bytes, 0)
        if int(status) == 0:
            self._pinned_at = address
            return True
        self._pin_refused = True
        warnings.warn(
            f"gputune: cannot pin {self.capacity_bytes >> 20} MB (cudaHostRegister: {status}); "
            "saving copies from the device synchronously",
            RuntimeWarning,
            stacklevel=2,
        )
        return False

    def close(self) -> None:
        """Give the memory back once nothing looks at it any more."""
        if self._pinned_at:
            runtime: Any = torch.cuda
            runtime.cudart().cudaHostUnregister(self._pinned_at)
            self._pinned_at = 0
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
        # Tensors made over the map keep it alive; dropping our reference is the only safe way to unmap.
        self._map, self.capacity_bytes = None, 0

    def _advise_huge_pages(self) -> None:
        advice = getattr(mmap, "MADV_HUGEPAGE", None)
        if advice is not None and self._map is not None:
            # Only a hint: kernels without huge pages for shared memory answer EINVAL.
            with contextlib.suppress(OSError):
                self._map.madvise(advice)
