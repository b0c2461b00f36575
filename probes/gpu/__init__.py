"""Reading the GPU a script uses: :func:`open_gpu` is the only door, and it always opens."""

from __future__ import annotations

import os

from gputune.probes.gpu.interface import GPM, Gpu, GpuUnavailable, Reading
from gputune.probes.gpu.null import NullGpu

__all__ = ["GPM", "Gpu", "NullGpu", "Reading", "open_gpu"]


def open_gpu(uuid: str | None = None, ordinal: int = 0) -> Gpu:
    """Return the GPU with this UUID, or a :class:`NullGpu` that says why there is none.

    Args:
        uuid: as NVML spells it (``GPU-...``, ``MIG-...``; the prefix may be missing). Without one, the first
            device that ``CUDA_VISIBLE_DEVICES`` leaves visible.
        ordinal: without a UUID, which of the visible devices: 1 for ``cuda:1``.
    """
    try:
        # Imported here so that asking for help or reading a stored run does not pay for pynvml.
        from gputune.probes.gpu.nvml import NvmlGpu
    except ImportError as error:
        return NullGpu(f"the package nvidia-ml-py cannot be imported ({error})")
    try:
        return NvmlGpu(uuid, os.environ.get("CUDA_VISIBLE_DEVICES"), ordinal)
    except GpuUnavailable as error:
        return NullGpu(str(error))
