"""Finds out which loader trains.

The training loader is the last one that handed out a batch before an optimiser step; of several that feed the same
step (zipped loaders), the one that keeps the loop waiting longest. A script that never steps is an inference script:
its loader is the one it consumes, once it is clear that no optimiser exists.
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
        self._window: list[Site] = []
        """Sites that have handed out a batch since the last step, the latest at the end."""
        self._fed: list[Site] = []
        """The same, as it was when the last step was taken."""
        self._steps_seen = 0
        self._first_batch_s: dict[tuple[str, int], float] = {}
        self._wait_s: dict[tuple[str, int], float] = {}
        self._optimizer_exists: bool | None = None

    def handed_out(self, site: Site, wait_s: float) -> None:
        """Note that a loader of ``site`` has just handed out a batch for which the loop waited ``wait_s``."""
        self._notice_steps()
        self._window = [*(other for other in self._window if other is not site), site]
        self._wait_s[site.key] = self._wait_s.get(site.key, 0.0) + wait_s
        self._first_batch_s.setdefault(site.key, time.monotonic())

    def _notice_steps(self) -> None:
        if self._steps.count > self._steps_seen:
            self._steps_seen, self._fed, self._window = self._steps.count, self._window, []

    def _trains(self, asking: Site) -> bool:
        """Whether ``asking`` fed the last step, and no loader that goes along with it is slower."""
        if not self._fed:
            return False
        last = self._fed[-1]
        # Loaders that were consumed as often as the last one go along with it; a validation loader was not.
        together = [site for site in self._fed if abs(site.batches - last.batches) <= 1]
        return asking in together and all(
            self._wait_s[site.key] <= self._wait_s[asking.key] for site in together if site is not asking
        )

    def found(self, asking: Site) -> bool:
        """Return whether ``asking``, whose next batch is being requested, is the loader to conduct; sets its role."""
        self._notice_steps()
        if asking.batches >= MIN_BATCHES and self._trains(asking):
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
