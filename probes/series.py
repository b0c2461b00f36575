"""What the machine did while a burst ran, moment by moment: bounded arrays on the clock of the bursts."""

from __future__ import annotations

import msgspec

MAX_POINTS = 60
"""Points of one burst; neighbours beyond are merged."""
MAX_CORE_ROWS = 16
"""Rows of CPU use; on machines with more cores a row is the mean of several neighbours."""


class Series(msgspec.Struct, frozen=True, kw_only=True):
    """Samples of one stretch; each holds for the time since the previous one. ``None`` where nothing was read."""

    start_s: float = 0.0
    """Where the first sample begins."""
    t_s: list[float] = []
    """Where each sample ends, ``CLOCK_MONOTONIC`` as in bursts."""
    cpu_cores: list[float | None] = []
    """Cores kept busy by the target's tree."""
    gpu_utilization: list[float | None] = []
    """Percent of the time in which a kernel ran."""
    rss_bytes: list[int | None] = []
    core_busy: list[list[int]] = []
    """One row for each core the target may use (or for ``cores_a_row`` of them), percent busy with anything."""
    cores: list[int] = []
    """The number of each row's first core."""
    cores_a_row: int = 1
