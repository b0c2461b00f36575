"""Counts optimiser steps, without touching any optimiser.

Torch calls global post hooks after every ``Optimizer.step``: they fire once a real step under gradient
accumulation, Lightning's closures and Accelerate, and not at all when a GradScaler skips. A subclass that calls
``super().step()`` fires twice, and GANs step several optimisers a batch, so the count only says *that* a batch
trained, never how many batches make a step.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class StepCounter:
    """How many optimiser steps the process has taken."""

    def __init__(self) -> None:
        self.count = 0
        self._handle: Any = None
        self.on_first: Callable[[], None] | None = None
        """Called at the first step."""

    def install(self) -> None:
        """Register the hook; torch.optim is imported by torch itself, so this costs nothing."""
        if self._handle is None:
            from torch.optim.optimizer import register_optimizer_step_post_hook

            self._handle = register_optimizer_step_post_hook(self._stepped)

    def remove(self) -> None:
        """Take the hook away again."""
        if self._handle is not None:
            self._handle.remove()
            self._handle = None

    def _stepped(self, optimizer: Any, args: Any, kwargs: Any) -> None:
        self.count += 1
        if self.count == 1 and self.on_first is not None:
            self.on_first()
