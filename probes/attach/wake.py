"""Starts the agent in the process that has just imported torch's or TensorFlow's data package."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

AfterImport = Callable[[str, Callable[[ModuleType], None]], None]
"""``after_import(name, callback)``: calls back once with a module, right after it has been imported."""


def start(
    dataloader: ModuleType, *, mode: str, scope: str, channel: str, config: str, after_import: AfterImport
) -> None:
    """Start what the environment asked for; called by the ``sitecustomize`` of ours.

    Args:
        dataloader: the module ``torch.utils.data.dataloader``, just imported.
        mode: ``probe`` or ``apply``.
        scope: see :data:`gputune.probes.attach.SCOPE`.
        channel: see :data:`gputune.probes.attach.CHANNEL`.
        config: see :data:`gputune.probes.attach.CONFIG`.
        after_import: runs something when another module is there.
    """
    from gputune.probes.agent.start import start_apply, start_probe
    from gputune.probes.attach import children

    children.install(mode=mode, scope=scope, channel=channel, config=config)
    if mode == "apply":
        start_apply(dataloader, config, after_import)
    else:
        start_probe(dataloader, channel, config, after_import, inheritable=scope == "tree")


def start_tensorflow(
    dataset_ops: ModuleType, *, mode: str, scope: str, channel: str, config: str, after_import: AfterImport
) -> None:
    """The same for TensorFlow, whose module ``tensorflow.python.data.ops.dataset_ops`` has just been imported."""
    from gputune.probes.tensorflow.start import start_apply, start_probe

    if mode == "apply":
        start_apply(config, after_import)
    else:
        start_probe(dataset_ops, channel, config, after_import, inheritable=scope == "tree")
