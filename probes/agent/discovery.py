"""Finds out which loader trains.

The training loader is the last one that handed out a batch before an optimiser step. A script that never steps is
an inference script: its loader is the one it consumes, once it is clear that no optimiser exists.
"""

from __future__ import annotations

import gc
import sys
import time

from gputune.probes.agent.sites import Site
from gputune.probes.agent.steps import StepCounter

MIN_BATCHES = 2
QUIET_S = 4.0
QUIET_BATCHES = 40
"""A loader consumed this long without any optimiser step makes us look for an optimiser."""
PATIENCE_S = 45.0
"""With an optimiser around (gradient accumulation, validation first) we wait this long for its first step."""


class Discovery:
    """Watches batches and steps until the training loader is known."""

    def __init__(self, steps: StepCounter) -> None:
        self._steps = steps
        self._last: Site | None = None
        self._steps_at_last = 0
        self._first_batch_s: dict[tuple[str, int], float] = {}
        self._optimizer_exists: bool | None = None

    def handed_out(self, site: Site) -> None:
        """Note that a loader of ``site`` has just handed out a batch."""
        self._last, self._steps_at_last = site, self._steps.count
        self._first_batch_s.setdefault(site.key, time.monotonic())

    def found(self, asking: Site) -> bool:
        """Return whether ``asking``, whose next batch is being requested, is the loader to conduct; sets its role."""
        if self._last is asking and self._steps.count > self._steps_at_last and asking.batches >= MIN_BATCHES:
            asking.role = "train"
            return True
        if self._steps.count or asking.batches < MIN_BATCHES:
            return False
        quiet_s = time.monotonic() - self._first_batch_s.get(asking.key, time.monotonic())
        if quiet_s < QUIET_S and asking.batches < QUIET_BATCHES:
            return False
        if self._optimizer_exists is None:
            self._optimizer_exists = _optimizer_exists()
        if self._optimizer_exists and quiet_s < PATIENCE_S:
            return False
        asking.role = "inference"
        return True


def _optimizer_exists() -> bool:
    optim = sys.modules.get("torch.optim.optimizer")
    kind = getattr(optim, "Optimizer", None)
    return kind is not None and any(isinstance(thing, kind) for thing in gc.get_objects())
