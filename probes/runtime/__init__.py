"""The parts a setting switches on, also usable by hand in a loop of one's own.

Importing this package imports nothing heavy: each name loads its module on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gputune.probes.runtime.background import BackgroundError
    from gputune.probes.runtime.checkpoint import (
        AsyncCheckpointer,
        AsyncSaveError,
        install_async_save,
        uninstall_async_save,
    )
    from gputune.probes.runtime.hazards import Hazard, HazardError, HazardGuard
    from gputune.probes.runtime.logging import AsyncLogger, async_writer, make_handlers_async
    from gputune.probes.runtime.pipeline import Pipeline
    from gputune.probes.runtime.stage import Stage, StageError
    from gputune.probes.runtime.tensorboard import install_async_logging, uninstall_async_logging
    from gputune.probes.runtime.validation import AsyncValidator, ValidationResult

__all__ = [
    "AsyncCheckpointer",
    "AsyncLogger",
    "AsyncSaveError",
    "AsyncValidator",
    "BackgroundError",
    "Hazard",
    "HazardError",
    "HazardGuard",
    "Pipeline",
    "Stage",
    "StageError",
    "ValidationResult",
    "async_writer",
    "install_async_logging",
    "install_async_save",
    "make_handlers_async",
    "uninstall_async_logging",
    "uninstall_async_save",
]

_MODULES = {
    "background": ("BackgroundError",),
    "checkpoint": ("AsyncCheckpointer", "AsyncSaveError", "install_async_save", "uninstall_async_save"),
    "hazards": ("Hazard", "HazardError", "HazardGuard"),
    "logging": ("AsyncLogger", "async_writer", "make_handlers_async"),
    "pipeline": ("Pipeline",),
    "stage": ("Stage", "StageError"),
    "tensorboard": ("install_async_logging", "uninstall_async_logging"),
    "validation": ("AsyncValidator", "ValidationResult"),
}
_HOMES = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
