"""The GPU of a machine that has none to read: it knows why."""

from __future__ import annotations

import time

from gputune.probes.gpu.interface import Reading


class NullGpu:
    """Stands in for a GPU that cannot be read.

    Args:
        reason: why, as half a sentence: ``"no NVIDIA driver is installed"``.
    """

    name = ""
    uuid = ""
    driver = ""

    def __init__(self, reason: str) -> None:
        self.reason = reason

    def read(self) -> Reading:
        """Return a reading without values."""
        return Reading(time_s=time.monotonic())

    def gaps(self) -> dict[str, str]:
        """Return the one reason for everything."""
        return {"GPU": self.reason}

    def missing(self) -> list[str]:
        """Return the one sentence that says why."""
        return [f"GPU figures are missing: {self.reason}."]

    def close(self) -> None:
        """Do nothing."""
