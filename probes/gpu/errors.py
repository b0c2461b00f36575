"""The one place where an NVML error code becomes one of our errors."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import pynvml

from gputune.probes.gpu.interface import GpuError, GpuLost, GpuUnavailable, MetricPending, MetricUnavailable

_PENDING = {
    pynvml.NVML_ERROR_NOT_FOUND,
    pynvml.NVML_ERROR_TIMEOUT,
    pynvml.NVML_ERROR_IN_USE,
    pynvml.NVML_ERROR_MEMORY,
    pynvml.NVML_ERROR_NO_DATA,
    pynvml.NVML_ERROR_INSUFFICIENT_SIZE,
    pynvml.NVML_ERROR_INSUFFICIENT_RESOURCES,
}
_LOST = {
    pynvml.NVML_ERROR_GPU_IS_LOST: "the GPU fell off the bus",
    pynvml.NVML_ERROR_RESET_REQUIRED: "the GPU needs a reset",
    pynvml.NVML_ERROR_UNKNOWN: "the driver answered with an unknown error",
    pynvml.NVML_ERROR_UNINITIALIZED: "the driver's library was shut down",
    pynvml.NVML_ERROR_DRIVER_NOT_LOADED: "the NVIDIA driver was unloaded",
    pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH: "the driver was replaced while running",
}
_REASONS = {
    pynvml.NVML_ERROR_NOT_SUPPORTED: "not supported by this GPU",
    pynvml.NVML_ERROR_NO_PERMISSION: "no permission to read it",
    pynvml.NVML_ERROR_FUNCTION_NOT_FOUND: "not offered by this driver",
    pynvml.NVML_ERROR_ARGUMENT_VERSION_MISMATCH: "not offered by this driver in the form we know",
}
_OPENING = {
    pynvml.NVML_ERROR_LIBRARY_NOT_FOUND: "no NVIDIA driver is installed (libnvidia-ml.so.1 not found)",
    pynvml.NVML_ERROR_DRIVER_NOT_LOADED: "the NVIDIA driver is installed but its kernel module is not loaded",
    pynvml.NVML_ERROR_NO_PERMISSION: "no permission to talk to the NVIDIA driver",
    pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH: (
        "libnvidia-ml and the loaded kernel module are of different driver versions (reboot)"
    ),
}


def call(function: str, *arguments: Any) -> Any:
    """Call ``pynvml.function(*arguments)``.

    Raises:
        MetricPending, MetricUnavailable, GpuLost: see :mod:`gputune.probes.gpu.interface`.
    """
    try:
        return getattr(pynvml, function)(*arguments)
    except pynvml.NVMLError as error:
        raise _translated(error.value, str(error)) from error
    except AttributeError as error:
        raise MetricUnavailable("not offered by the installed nvidia-ml-py") from error
    except (ctypes.ArgumentError, OSError, UnicodeDecodeError, ValueError) as error:
        raise MetricUnavailable(f"unreadable answer ({error})") from error


def opening(step: Callable[[], Any]) -> Any:
    """Run a step of opening a device.

    Raises:
        GpuUnavailable: with the reason, whatever went wrong.
    """
    try:
        return step()
    except GpuUnavailable:
        raise
    except GpuError as error:
        code = getattr(error.__cause__, "value", None)
        reason = _OPENING.get(code) if isinstance(code, int) else None
        raise GpuUnavailable(reason or f"NVML does not open it: {error}") from error


def code_of(error: GpuError) -> int | None:
    """Return the NVML code that an error stands for."""
    return getattr(error.__cause__, "value", None)


def _translated(code: int, text: str) -> GpuError:
    if code in _LOST:
        return GpuLost(_LOST[code])
    if code in _PENDING:
        return MetricPending(text.rstrip(".").lower())
    return MetricUnavailable(_REASONS.get(code, f"NVML error {code}: {text.rstrip('.')}"))
