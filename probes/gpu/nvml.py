"""An NVIDIA GPU read through NVML, metric by metric.

Only calls that are cheap and do not hold the driver's lock for long: no process lists (milliseconds), no measuring
of PCIe throughput (blocks 20 ms; counters are read instead). A metric that cannot be read goes missing alone; a lost
device ends all reading.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

import pynvml

from gputune.probes.gpu import pcie
from gputune.probes.gpu.device import Device, find, shut_down
from gputune.probes.gpu.errors import call, code_of
from gputune.probes.gpu.gpm import GpmMeter
from gputune.probes.gpu.interface import GPM, GpuLost, MetricPending, MetricUnavailable, Reading

T = TypeVar("T")

THROTTLE_REASONS = {
    0x8: "hardware slowdown",
    0x20: "thermal slowdown (driver)",
    0x40: "thermal slowdown (hardware)",
    0x80: "external power brake",
    0x200: "board limit",
    0x400: "reliability limit",
}
"""Bits of the clock event reasons that mean trouble.

Left out as normal: idle 0x1, chosen clocks 0x2, power management 0x4, sync boost 0x10, display clock 0x100.
"""
_SM = pynvml.NVML_CLOCK_SM
_FOREIGN_CLOCK_S = 3600.0
"""A driver time stamp further than this from now is not from this machine's wall clock."""
_VALUE_FIELDS = {
    pynvml.NVML_VALUE_TYPE_DOUBLE: "dVal",
    pynvml.NVML_VALUE_TYPE_UNSIGNED_INT: "uiVal",
    pynvml.NVML_VALUE_TYPE_UNSIGNED_LONG: "ulVal",
    pynvml.NVML_VALUE_TYPE_UNSIGNED_LONG_LONG: "ullVal",
    pynvml.NVML_VALUE_TYPE_SIGNED_LONG_LONG: "sllVal",
}


class NvmlGpu:
    """One NVIDIA GPU or MIG instance; see :class:`gputune.probes.gpu.interface.Gpu` for the methods.

    Args:
        uuid: the device; ``None`` for one that ``visible`` leaves.
        visible: the value of ``CUDA_VISIBLE_DEVICES``, ``None`` when not set.
        ordinal: which of the visible devices, when no UUID is given (``cuda:ordinal``).

    Raises:
        GpuUnavailable: there is none to read, with the reason.
    """

    def __init__(self, uuid: str | None = None, visible: str | None = None, ordinal: int = 0) -> None:
        self._device = find(uuid, visible, ordinal)
        self._gaps: dict[str, str] = {}
        self._settled: set[str] = set()
        """Metrics that will never be readable; the other gaps are asked again."""
        self._lost = ""
        self._closed = False
        self._last_sample_us = int(time.time() * 1e6)
        self._gpm: GpmMeter | None = None
        if self._device.gpu_instance is not None:
            shared = "measured for the whole card, which other MIG instances share"
            of_the_card = ("power", "energy", "PCIe traffic")
            self._gaps |= dict.fromkeys(of_the_card, shared)
            self._settled |= set(of_the_card)
        self._gpm = self._ask(GPM, lambda: GpmMeter(self._device))

    @property
    def name(self) -> str:
        """Product name."""
        return self._device.name

    @property
    def uuid(self) -> str:
        """Identifier as NVML spells it."""
        return self._device.uuid

    @property
    def driver(self) -> str:
        """Driver version."""
        return self._device.driver

    def read(self) -> Reading:
        """Return what the GPU says now."""
        device = self._device
        time_s = time.monotonic()
        rates = self._ask("utilisation", lambda: call("nvmlDeviceGetUtilizationRates", device.handle))
        memory = self._ask("memory", lambda: _memory(device))
        power_mw = self._ask("power", lambda: call("nvmlDeviceGetPowerUsage", device.handle))
        clock = self._ask("SM clock", lambda: call("nvmlDeviceGetClockInfo", device.card, _SM))
        throttle = self._ask("throttle reasons", lambda: _throttle(device))
        energy_mj = self._ask("energy", lambda: call("nvmlDeviceGetTotalEnergyConsumption", device.handle))
        samples = self._ask("utilisation history", self._samples)
        bus = self._ask("PCIe traffic", lambda: pcie.read(device))
        sm, bandwidth = self._ask(GPM, self._read_gpm) or (None, None)
        return Reading(
            time_s=time_s,
            utilization=None if rates is None else float(rates.gpu),
            memory_used_bytes=memory and int(memory.used),
            memory_total_bytes=memory and int(memory.total),
            power_w=None if power_mw is None else power_mw / 1e3,
            sm_clock_mhz=None if clock is None else float(clock),
            throttle_reasons=throttle or (),
            energy_j=None if energy_mj is None else energy_mj / 1e3,
            utilization_samples=samples or (),
            sm_utilization=sm,
            memory_bandwidth=bandwidth,
            pcie_received_bytes=bus and bus.received_bytes,
            pcie_sent_bytes=bus and bus.sent_bytes,
        )

    def gaps(self) -> dict[str, str]:
        """Return ``{metric: reason}`` for every metric that could not be read so far."""
        return {"GPU": self._lost, **self._gaps} if self._lost else dict(self._gaps)

    def missing(self) -> list[str]:
        """Return one sentence for each reason why figures are missing."""
        by_reason: dict[str, list[str]] = {}
        for metric, reason in dict(self._gaps).items():  # another thread may be reading
            by_reason.setdefault(reason, []).append(metric)
        sentences = [f"GPU {', '.join(metrics)} missing: {reason}." for reason, metrics in by_reason.items()]
        if self._lost:
            sentences.insert(0, f"GPU figures are missing from some point on: {self._lost}.")
        return sentences

    def close(self) -> None:
        """Let go of the driver; reading afterwards gives empty readings."""
        if self._closed:
            return
        self._closed = True
        if self._gpm:
            self._gpm.close()
        shut_down()

    def _ask(self, metric: str, read: Callable[[], T]) -> T | None:
        """Return one metric's value, or keep the reason why it has none."""
        if self._closed or self._lost or metric in self._settled:
            return None
        try:
            value = read()
        except MetricPending as error:
            self._gaps[metric] = str(error)
            return None
        except MetricUnavailable as error:
            self._gaps[metric] = str(error)
            self._settled.add(metric)
            return None
        except GpuLost as error:
            self._lost = str(error)
            return None
        self._gaps.pop(metric, None)
        return value

    def _read_gpm(self) -> tuple[float | None, float | None]:
        return self._gpm.read() if self._gpm else (None, None)

    def _samples(self) -> tuple[tuple[float, float], ...]:
        """Return what the driver recorded on its own since the last call.

        The driver stamps with the wall clock; the offset to the monotonic clock is taken now, so a step of
        the wall clock can only misplace samples recorded before it and read after it.
        """
        kind = pynvml.NVML_GPU_UTILIZATION_SAMPLES
        try:
            value_type, samples = call("nvmlDeviceGetSamples", self._device.handle, kind, self._last_sample_us)
        except MetricPending as error:
            if code_of(error) == pynvml.NVML_ERROR_NOT_FOUND:  # nothing new
                return ()
            raise
        offset_s = time.time() - time.monotonic()
        now_s = time.monotonic()
        field = _VALUE_FIELDS.get(value_type, "uiVal")
        fresh = [s for s in samples if s.timeStamp > self._last_sample_us]
        placed = [(s.timeStamp / 1e6 - offset_s, float(getattr(s.sampleValue, field))) for s in fresh]
        near = tuple((at_s, value) for at_s, value in placed if abs(at_s - now_s) < _FOREIGN_CLOCK_S)
        if placed and not near:
            raise MetricUnavailable("its time stamps are not of this machine's wall clock")
        self._last_sample_us = max((s.timeStamp for s in fresh), default=self._last_sample_us)
        return near


def _memory(device: Device) -> Any:
    """Return used and total memory; the second version does not count what the driver reserves as used."""
    try:
        return call("nvmlDeviceGetMemoryInfo", device.handle, pynvml.nvmlMemory_v2)
    except MetricUnavailable:
        return call("nvmlDeviceGetMemoryInfo", device.handle)


def _throttle(device: Device) -> tuple[str, ...]:
    try:
        bits = call("nvmlDeviceGetCurrentClocksEventReasons", device.card)
    except MetricUnavailable:  # drivers before 535 know only the old name
        bits = call("nvmlDeviceGetCurrentClocksThrottleReasons", device.card)
    return tuple(name for bit, name in THROTTLE_REASONS.items() if bits & bit)
