"""GPU performance monitoring (Hopper and newer): how much of the chip worked between two moments.

These counters are differences, so unlike every other utilisation figure they are exact for their interval.
Source: https://docs.nvidia.com/deploy/nvml-api/group__nvmlGpmFunctions.html
"""

from __future__ import annotations

import math
import time
from typing import Any

import pynvml

from gputune.probes.gpu.device import Device
from gputune.probes.gpu.errors import call
from gputune.probes.gpu.interface import GpuError, MetricUnavailable

MIN_INTERVAL_S = 0.1
"""The counters are refreshed about this often; closer samples give noise (NVML's documentation)."""
_METRICS = (pynvml.NVML_GPM_METRIC_SM_UTIL, pynvml.NVML_GPM_METRIC_DRAM_BW_UTIL)


class GpmMeter:
    """Averages between consecutive calls of :meth:`read`.

    Raises:
        MetricUnavailable, GpuLost: when the device has no such counters.
    """

    def __init__(self, device: Device) -> None:
        if not call("nvmlGpmQueryDeviceSupport", device.card).isSupportedDevice:
            raise MetricUnavailable("needs a Hopper or newer GPU")
        self._device = device
        self._samples: list[Any] = []
        try:
            for _ in range(2):
                self._samples.append(call("nvmlGpmSampleAlloc"))
            self._request = pynvml.c_nvmlGpmMetricsGet_t()
            self._taken_s = -math.inf
            self._take()
        except GpuError:
            self.close()
            raise

    def read(self) -> tuple[float | None, float | None]:
        """Return percent of SMs busy and percent of memory bandwidth used since the previous reading.

        Within 0.1 s of it there is nothing to tell yet: ``(None, None)``.

        Raises:
            MetricUnavailable, GpuLost: not readable any more.
        """
        if time.monotonic() - self._taken_s < MIN_INTERVAL_S:
            return None, None
        self._samples.reverse()
        self._take()
        request = self._request
        request.version = pynvml.NVML_GPM_METRICS_GET_VERSION
        request.numMetrics = len(_METRICS)
        request.sample1, request.sample2 = self._samples
        for slot, metric in enumerate(_METRICS):
            request.metrics[slot].metricId = metric
        call("nvmlGpmMetricsGet", request)
        sm, memory = (_value(request.metrics[slot]) for slot in range(len(_METRICS)))
        return sm, memory

    def close(self) -> None:
        """Free the samples."""
        for sample in self._samples:
            try:
                call("nvmlGpmSampleFree", sample)
            except GpuError:  # the driver is gone and took the samples with it
                break
        self._samples = []

    def _take(self) -> None:
        """Fill the newer sample."""
        device, newer = self._device, self._samples[1]
        if device.gpu_instance is None:
            call("nvmlGpmSampleGet", device.card, newer)
        else:
            call("nvmlGpmMigSampleGet", device.card, device.gpu_instance, newer)
        self._taken_s = time.monotonic()


def _value(metric: Any) -> float | None:
    ok = metric.nvmlReturn == pynvml.NVML_SUCCESS and math.isfinite(metric.value)
    return float(metric.value) if ok else None
