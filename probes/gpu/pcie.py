"""What went over the PCI Express bus, from the driver's own counters.

The counters are read in microseconds, unlike ``nvmlDeviceGetPcieThroughput``, which measures for 20 ms at each call.
Source: https://docs.nvidia.com/deploy/nvml-api/group__nvmlFieldValueEnums.html (fields 197 and 198)
"""

from __future__ import annotations

from typing import Any, NamedTuple

import pynvml

from gputune.probes.gpu.device import Device
from gputune.probes.gpu.errors import call
from gputune.probes.gpu.interface import MetricUnavailable

_FIELDS = ("NVML_FI_DEV_PCIE_COUNT_RX_BYTES", "NVML_FI_DEV_PCIE_COUNT_TX_BYTES")
_VALUE_FIELDS = {
    pynvml.NVML_VALUE_TYPE_UNSIGNED_INT: "uiVal",
    pynvml.NVML_VALUE_TYPE_UNSIGNED_LONG: "ulVal",
    pynvml.NVML_VALUE_TYPE_UNSIGNED_LONG_LONG: "ullVal",
}


class Traffic(NamedTuple):
    """Counters with an arbitrary start, as the card sees the bus."""

    received_bytes: int
    """From the host to the card."""
    sent_bytes: int


def read(device: Device) -> Traffic:
    """Return the counters of the card.

    Raises:
        MetricUnavailable, MetricPending, GpuLost: not readable.
    """
    fields = [getattr(pynvml, name, None) for name in _FIELDS]
    if None in fields:
        raise MetricUnavailable("not offered by the installed nvidia-ml-py")
    received, sent = (_value(answer) for answer in call("nvmlDeviceGetFieldValues", device.card, fields))
    return Traffic(received, sent)


def _value(answer: Any) -> int:
    name = _VALUE_FIELDS.get(answer.valueType)
    if answer.nvmlReturn != pynvml.NVML_SUCCESS or name is None:
        raise MetricUnavailable("this card or driver does not count it")
    return int(getattr(answer.value, name))
