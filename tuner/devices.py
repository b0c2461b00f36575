"""Which GPU to watch beside a target."""

from __future__ import annotations

from gputune.probes.gpu import Gpu, NullGpu, open_gpu
from gputune.probes.protocol import Environment


def open_watched(environment: Environment, device: str | None) -> Gpu:
    """Return the GPU to watch, or a null object that says why there is none.

    Args:
        environment: what the agent said about the device the script uses.
        device: ``--device``: watch this one instead (``cpu``, ``cuda``, ``cuda:N``); ``None`` for the script's own.
    """
    if (device or environment.device) == "cpu":
        return NullGpu("the script runs on the CPU")
    if device is None:
        return open_gpu(environment.device_uuid or None)
    return open_gpu(None, int(device.partition(":")[2] or 0))
