"""Scripts that train without any DataLoader still get an answer: what their main thread does, by line."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from typing import Any

from gputune.probes.agent.sites import Sites
from gputune.probes.agent.stacks import StackSampler
from gputune.probes.agent.steps import StepCounter
from gputune.probes.burst import Hotspot

POLL_S = 0.1
SAMPLED_S = 4.0
"""Training for this long without a loader, the script is taken to have none."""
PATIENCE_S = 20.0
"""The same where a loader was constructed but not iterated yet."""
MIN_STEPS = 3


class Alone:
    """Watches from a thread for training without a loader; the thread ends as soon as a loader is iterated.

    Args:
        steps: counter of optimiser steps.
        sites: registry of loaders.
        enough: called from the thread when enough was sampled; ends the process.
    """

    def __init__(self, steps: StepCounter, sites: Sites, enough: Callable[[], None]) -> None:
        self._steps, self._sites, self._enough = steps, sites, enough
        self._pid = os.getpid()
        self._sampler: StackSampler | None = None
        self._since_s = 0.0
        self._steps_before = 0

    def start(self) -> None:
        """Begin to watch; called at the first optimiser step, when nearly every script has had its first batch.

        Those scripts never see this thread: one that forks its workers must not have any of ours.
        """
        if self._loads() or os.getpid() != self._pid:
            return
        self._since_s, self._steps_before = time.monotonic(), self._steps.count
        self._sampler = StackSampler(threading.main_thread().ident or 0)
        self._sampler.start()
        threading.Thread(target=self._watch, name="gputune-alone", daemon=True).start()

    def report(self) -> dict[str, Any]:
        """Return the fields of a goodbye: hotspots, optimiser steps and the time sampled (empty with a loader)."""
        sampler = self._sampler
        if sampler is None or self._loads() or os.getpid() != self._pid:
            return {}
        found: list[Hotspot] = sampler.hotspots()
        steps = self._steps.count - self._steps_before
        return {"hotspots": found, "steps": steps, "sampled_s": time.monotonic() - self._since_s}

    def _loads(self) -> bool:
        try:
            return any(site.batches for site in self._sites.records())
        except RuntimeError:  # the main thread registers a loader just now
            return True

    def _watch(self) -> None:
        assert self._sampler is not None
        while not self._loads():
            time.sleep(POLL_S)
            wanted_s = PATIENCE_S if self._sites.records() else SAMPLED_S
            enough = self._steps.count - self._steps_before >= MIN_STEPS
            if enough and time.monotonic() - self._since_s > wanted_s:
                self._sampler.stop()
                self._enough()
                return
        self._sampler.stop()
