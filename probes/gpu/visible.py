"""Which device ``CUDA_VISIBLE_DEVICES`` makes device 0, in NVML's terms (pure).

NVML numbers devices in PCI order and ignores the variable. CUDA numbers them fastest first unless
``CUDA_DEVICE_ORDER=PCI_BUS_ID``; on machines with equal cards both orders agree.
"""

from __future__ import annotations

from collections.abc import Sequence

from gputune.probes.gpu.interface import GpuUnavailable


def choose(visible: str | None, uuids: Sequence[str], ordinal: int = 0) -> str:
    """Return the identifier of the CUDA device ``ordinal``.

    Args:
        visible: the value of ``CUDA_VISIBLE_DEVICES``; ``None`` when it is not set.
        uuids: the UUIDs of all devices in NVML's order.
        ordinal: the number CUDA gives the device.

    Returns:
        One of ``uuids``, or a ``MIG-...`` identifier exactly as written in the variable.

    Raises:
        GpuUnavailable: no such device is visible.
    """
    devices = list(uuids) if visible is None else _listed(visible, uuids)
    if ordinal < len(devices):
        return devices[ordinal]
    if not uuids:
        raise GpuUnavailable("the driver is loaded but finds no GPU")
    raise GpuUnavailable(f"CUDA_VISIBLE_DEVICES={visible} leaves no device {ordinal} of {len(uuids)} visible")


def _listed(visible: str, uuids: Sequence[str]) -> list[str]:
    """Return the devices of the list; as in CUDA, the first entry that names none ends it."""
    devices: list[str] = []
    for entry in visible.split(","):
        device = _device(entry.strip(), uuids)
        if device is None:
            break
        if device in devices:  # CUDA hides every device when one is named twice
            return []
        devices.append(device)
    return devices


def _device(entry: str, uuids: Sequence[str]) -> str | None:
    if entry.startswith("MIG-"):
        return entry
    if entry.startswith("GPU-"):
        matches = [uuid for uuid in uuids if uuid.startswith(entry)]
        return matches[0] if len(matches) == 1 else None
    if entry.isascii() and entry.isdigit() and int(entry) < len(uuids):
        return uuids[int(entry)]
    return None
