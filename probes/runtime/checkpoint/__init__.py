"""Asynchronous checkpoints: ``torch.save`` without the wait, and :class:`AsyncCheckpointer`."""

from gputune.probes.runtime.checkpoint.checkpointer import AsyncCheckpointer
from gputune.probes.runtime.checkpoint.install import (
    install_async_save,
    is_async_save_installed,
    self_test,
    uninstall_async_save,
)
from gputune.probes.runtime.checkpoint.saver import AsyncSaveError, AsyncSaver

__all__ = [
    "AsyncCheckpointer",
    "AsyncSaveError",
    "AsyncSaver",
    "install_async_save",
    "is_async_save_installed",
    "self_test",
    "uninstall_async_save",
]
