"""What the rest of gputune knows about a GPU: :class:`Gpu`, its :class:`Reading` and the errors behind gaps.

GpuError
├── GpuUnavailable      there is no GPU to read: no driver, no library, no such device
├── GpuLost             it was there and is not any more
├── MetricUnavailable   this metric will not be readable on this device
└── MetricPending       this metric has nothing to say right now
None of these leaves this package: a :class:`Gpu` reports gaps through ``None`` and :meth:`Gpu.missing`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

GPM = "SM utilisation (GPM)"
"""What :meth:`Gpu.gaps` calls the performance monitoring counters of Hopper and newer."""


class GpuError(Exception):
    """Base of all that can go wrong when reading a GPU; the message is a reason without a full stop."""


class GpuUnavailable(GpuError):
    """There is no GPU to read."""


class GpuLost(GpuError):
    """The device stopped answering; nothing will be read from it again."""


class MetricUnavailable(GpuError):
    """One metric cannot be read on this device; the others can."""


class MetricPending(GpuError):
    """One metric has no value at this moment; it is worth asking again."""


@dataclass(frozen=True, slots=True)
class Reading:
    """Everything read from a GPU at one moment; ``None`` where it could not be read."""

    time_s: float
    """``time.monotonic()`` of the reading."""
    utilization: float | None = None
    """Percent of the driver's last sample period (1/6 to 1 s) in which a kernel ran."""
    memory_used_bytes: int | None = None
    memory_total_bytes: int | None = None
    power_w: float | None = None
    sm_clock_mhz: float | None = None
    throttle_reasons: tuple[str, ...] = ()
    """Why clocks are held down, the normal reasons (idle, power management, chosen clocks) left out."""
    energy_j: float | None = None
    """A counter since the driver was loaded: only differences mean anything."""
    utilization_samples: tuple[tuple[float, float], ...] = ()
    """``(monotonic seconds, percent)`` the driver recorded since the previous reading."""
    sm_utilization: float | None = None
    """Percent of SMs busy, averaged since the previous reading."""
    memory_bandwidth: float | None = None
    """Percent of the peak memory bandwidth used, averaged since the previous reading."""
    pcie_received_bytes: int | None = None
    """Over the bus from the host to the card: a counter, as ``energy_j`` is, and so is the next."""
    pcie_sent_bytes: int | None = None


class Gpu(Protocol):
    """One GPU, or the reason why there is none. No method raises."""

    @property
    def name(self) -> str:
        """Product name; empty without a GPU."""
        ...

    @property
    def uuid(self) -> str:
        """Identifier as NVML spells it; empty without a GPU."""
        ...

    @property
    def driver(self) -> str:
        """Driver version; empty when unknown."""
        ...

    def read(self) -> Reading:
        """Return what the GPU says now; costs tens of microseconds, so call it at 10 Hz at most."""
        ...

    def gaps(self) -> dict[str, str]:
        """Return ``{metric: reason}`` for every metric that could not be read so far."""
        ...

    def missing(self) -> list[str]:
        """Return one sentence for each reason why figures are missing."""
        ...

    def close(self) -> None:
        """Let go of the driver; reading afterwards gives empty readings."""
        ...
