"""Arguments as they are now: what a later call must see although the caller goes on changing them."""

from __future__ import annotations

import copy
import ctypes
import sys
from typing import Any

_IMMUTABLE = (type(None), bool, int, float, complex, str, bytes)


def snapshot(value: Any) -> Any:
    """Return a copy of ``value`` that later changes to it do not reach.

    Tensors are detached and copied: on the CPU at once; from CUDA into pinned memory without waiting for the
    device (see :class:`LateTensor`). Arrays are copied, containers are rebuilt, other objects go through
    ``copy.copy``; what cannot be copied is passed on as it is.
    """
    if isinstance(value, _IMMUTABLE):
        return value
    if isinstance(value, list | tuple | set):
        items = [snapshot(item) for item in value]
        return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
    if isinstance(value, dict):
        return {key: snapshot(item) for key, item in value.items()}
    torch: Any = sys.modules.get("torch")
    if torch is not None and isinstance(value, torch.Tensor):
        return LateTensor(value) if value.is_cuda else copied(value)
    numpy: Any = sys.modules.get("numpy")
    if numpy is not None and isinstance(value, numpy.ndarray):
        return value.copy()
    if torch is not None and isinstance(value, torch.nn.Module):
        return value  # add_graph traces it: a copy would cost as much as the model
    try:
        return copy.copy(value)
    except Exception:  # noqa: BLE001 - a user's class may refuse in any way; then it is shared, as it would have been
        return value


def copied(tensor: Any) -> Any:
    """Return a detached copy of a CPU tensor, made by the calling thread alone.

    ``clone`` shares a large copy out among torch's threads and waits for all of them; where the cores are busy, as
    beside loader workers, that takes ten times as long as copying. torch could also copy on write
    (``_lazy_clone``, 10 us), but then the user's own ``resize_`` of that tensor fails (torch 2.13: "ctx != nullptr").
    """
    import torch

    source = tensor.detach()
    plain = type(tensor) in (torch.Tensor, torch.nn.Parameter) and source.layout is torch.strided
    if not plain or source.is_quantized or source.is_conj() or source.is_neg() or not source.is_contiguous():
        return source.clone()
    made = torch.empty_like(source)
    ctypes.memmove(made.data_ptr(), source.data_ptr(), source.numel() * source.element_size())
    return made


class LateTensor:
    """A CUDA tensor on its way to the host: copied behind the queued work, waited for by the background
    thread.

    Not yet measured on a GPU: none was at hand.
    """

    def __init__(self, tensor: Any) -> None:
        import torch

        source = tensor.detach()
        self._host = torch.empty(source.shape, dtype=source.dtype, pin_memory=True)
        self._host.copy_(source, non_blocking=True)
        self._landed = torch.cuda.Event()  # type: ignore[no-untyped-call]
        self._landed.record(torch.cuda.current_stream(source.device))

    def arrived(self) -> Any:
        """Wait for the copy and return it."""
        self._landed.synchronize()
        return self._host


def settle(value: Any) -> Any:
    """Replace every :class:`LateTensor` in a snapshot by its tensor; called in the background."""
    if isinstance(value, LateTensor):
        return value.arrived()
    if isinstance(value, list):
        return [settle(item) for item in value]
    if isinstance(value, tuple) and not hasattr(value, "_fields"):
        return tuple(settle(item) for item in value)
    if isinstance(value, dict):
        return {key: settle(item) for key, item in value.items()}
    return value
