"""The parts a setting switches on, also usable by hand in a loop of one's own.

Importing this package imports nothing heavy: each name loads its module on first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gputune.probes.runtime.checkpoint import (
        AsyncCheckpointer,
        AsyncSaveError,
        install_async_save,
        uninstall_async_save,
    )

_HOMES = {
    "AsyncCheckpointer": "checkpoint",
    "AsyncSaveError": "checkpoint",
    "install_async_save": "checkpoint",
    "uninstall_async_save": "checkpoint",
}

__all__ = ["AsyncCheckpointer", "AsyncSaveError", "install_async_save", "uninstall_async_save"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
