"""The accelerator the script uses, as far as it can be told without waking one up."""

from __future__ import annotations

import sys
from typing import Any


def _cuda() -> Any:
    torch = sys.modules.get("torch")
    cuda = getattr(torch, "cuda", None)
    return cuda if cuda is not None and cuda.is_available() and cuda.is_initialized() else None


def describe() -> tuple[str, str, str]:
    """Return (device, UUID as NVML spells it, name); ``("cpu", "", "")`` when no GPU is in use."""
    cuda = _cuda()
    if cuda is None:
        return "cpu", "", ""
    index = cuda.current_device()
    properties = cuda.get_device_properties(index)
    uuid = str(getattr(properties, "uuid", ""))
    if uuid and not uuid.startswith(("GPU-", "MIG-")):
        uuid = f"GPU-{uuid}"
    return f"cuda:{index}", uuid, str(properties.name)


def synchronize() -> None:
    """Wait for the GPU, so that a burst's first and last times are the GPU's and not those of its queue."""
    cuda = _cuda()
    if cuda is not None and not cuda.is_current_stream_capturing():
        cuda.synchronize()


def has_accelerator() -> bool:
    """Whether pinning memory can matter at all."""
    torch = sys.modules.get("torch")
    accelerator = getattr(torch, "accelerator", None)
    if accelerator is not None:
        return bool(accelerator.is_available())
    cuda = getattr(torch, "cuda", None)
    return bool(cuda is not None and cuda.is_available())
