"""Finding the device a script uses among those NVML knows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pynvml

from gputune.probes.gpu.errors import call, code_of, opening
from gputune.probes.gpu.interface import GpuError, GpuUnavailable
from gputune.probes.gpu.visible import choose


@dataclass(frozen=True, slots=True)
class Device:
    """An open device; ``card`` differs from ``handle`` for a MIG instance."""

    handle: Any
    card: Any
    uuid: str
    name: str
    driver: str
    gpu_instance: int | None = None
    """The id of the MIG GPU instance; ``None`` for a whole card."""


def find(uuid: str | None, visible: str | None, ordinal: int = 0) -> Device:
    """Open NVML and return the device with ``uuid`` or else the ``ordinal``-th that is visible.

    Raises:
        GpuUnavailable: with the reason.
    """
    opening(lambda: call("nvmlInit"))
    try:
        handle = _by_uuid(uuid) if uuid else _visible(visible, ordinal)
        return _described(handle)
    except BaseException:
        shut_down()
        raise


def shut_down() -> None:
    """Give back one initialisation of NVML; a driver that is gone has nothing left to give back."""
    try:
        call("nvmlShutdown")
    except GpuError:
        return


def _by_uuid(uuid: str) -> Any:
    spellings = [uuid] if uuid.startswith(("GPU-", "MIG-")) else [f"GPU-{uuid}", f"MIG-{uuid}"]
    for spelling in spellings:
        try:
            return call("nvmlDeviceGetHandleByUUID", spelling)
        except GpuError as error:
            if code_of(error) not in (pynvml.NVML_ERROR_NOT_FOUND, pynvml.NVML_ERROR_INVALID_ARGUMENT):
                raise GpuUnavailable(f"NVML does not open {spelling}: {error}") from error
    raise GpuUnavailable(f"NVML knows no device {uuid}")


def _visible(visible: str | None, ordinal: int) -> Any:
    count = opening(lambda: call("nvmlDeviceGetCount"))
    handles = {}
    for index in range(count):
        try:
            handle = call("nvmlDeviceGetHandleByIndex", index)
            handles[str(call("nvmlDeviceGetUUID", handle))] = handle
        except GpuError:  # a card this container may not use still counts for the numbering
            handles[f"closed-{index}"] = None
    identifier = choose(visible, list(handles), ordinal)
    if identifier not in handles:
        return _by_uuid(identifier)
    card = handles[identifier]
    if card is None:
        raise GpuUnavailable(f"NVML does not open device {identifier.removeprefix('closed-')} here")
    return _first_instance(card) or card


def _first_instance(card: Any) -> Any | None:
    """Return the MIG instance that CUDA uses when it is given a whole card split into instances."""
    try:
        if call("nvmlDeviceGetMigMode", card)[0] != pynvml.NVML_DEVICE_MIG_ENABLE:
            return None
        slots = call("nvmlDeviceGetMaxMigDeviceCount", card)
    except GpuError:  # no MIG on this card
        return None
    for slot in range(slots):
        try:
            return call("nvmlDeviceGetMigDeviceHandleByIndex", card, slot)
        except GpuError:  # an empty slot
            continue
    return None


def _described(handle: Any) -> Device:
    try:
        is_instance = bool(call("nvmlDeviceIsMigDeviceHandle", handle))
    except GpuError:  # drivers before MIG
        is_instance = False
    card, instance = handle, None
    if is_instance:
        card = opening(lambda: call("nvmlDeviceGetDeviceHandleFromMigDeviceHandle", handle))
        instance = opening(lambda: call("nvmlDeviceGetGpuInstanceId", handle))
    return Device(
        handle=handle,
        card=card,
        uuid=_text("nvmlDeviceGetUUID", handle),
        name=_text("nvmlDeviceGetName", handle) or _text("nvmlDeviceGetName", card),
        driver=_text("nvmlSystemGetDriverVersion"),
        gpu_instance=instance,
    )


def _text(function: str, *arguments: Any) -> str:
    try:
        return str(call(function, *arguments))
    except GpuError:
        return ""
