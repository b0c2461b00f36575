"""Builds the agent's parts and puts them in place, right after torch's data package was imported."""

from __future__ import annotations

import atexit
import fcntl
import multiprocessing
import os
import sys
import time
import types
from typing import Any

from gputune.probes.agent import apply, clock, device, torch_private
from gputune.probes.agent.alone import Alone
from gputune.probes.agent.conductor import Conductor
from gputune.probes.agent.hooks import LoaderHooks
from gputune.probes.agent.offload import Offload
from gputune.probes.agent.ranks import Ranks
from gputune.probes.agent.sites import Sites
from gputune.probes.agent.steps import StepCounter
from gputune.probes.attach import descriptors
from gputune.probes.attach.wake import AfterImport
from gputune.probes.channel import Channel, ChannelClosed
from gputune.probes.protocol import Environment, Order, Trouble
from gputune.probes.settings import Settings

STATEFUL = apply.STATEFUL


def start_apply(dataloader: types.ModuleType, config_path: str, after_import: AfterImport) -> None:
    """Set the loaders' settings from a file as they are constructed (``gputune run``)."""
    settings = apply.install(dataloader, config_path, after_import)
    if settings is not None:
        _switch_on(settings, after_import)
    keep_tracebacks_clean()


def _switch_on(settings: Settings, after_import: AfterImport) -> None:
    """Stand in for torch.save and for loggers, whichever the settings ask for."""
    offload = Offload()
    if settings.async_logging:
        offload.logging.install(after_import)
    if settings.async_checkpoint != "off":
        _once_torch_can_save(offload, after_import)
    offload.use(settings)


def start_probe(
    dataloader: types.ModuleType,
    channel_text: str,
    config_path: str,
    after_import: AfterImport,
    *,
    inheritable: bool = False,
) -> None:
    """Let the tuner at the other end of the channel conduct this process.

    Args:
        dataloader: the module ``torch.utils.data.dataloader``.
        channel_text: see :data:`gputune.probes.attach.CHANNEL`.
        config_path: settings to apply at construction (fresh-process trials), or an empty string.
        after_import: runs something when another module is there.
        inheritable: this may be a launcher: leave the pipes for the process it starts or becomes.
    """
    reached = reach(channel_text, inheritable)
    if reached is None:
        return
    channel, found = reached
    if config_path:
        apply.install(dataloader, config_path, after_import, quiet=True)
    if not torch_private.can_measure(dataloader):
        report(channel, torch_private.lacking(dataloader))
        return
    sites, steps, ring = Sites(), StepCounter(), clock.Ring()
    conductor = Conductor(
        channel,
        sites,
        steps,
        ring,
        environment=lambda: describe(dataloader),
        claim=lambda: claim(found.events),
        ranks=Ranks(found.board, ring.fd),
        started_s=time.monotonic(),
    )
    hooks = LoaderHooks(dataloader, sites, conductor)
    hooks.install()
    after_import(STATEFUL, lambda module: hooks.watch_construction(module.StatefulDataLoader))
    clock.install(ring)
    _watch_worker_info(dataloader, ring)
    _once_torch_is_ready(steps, after_import)
    conductor.offload.logging.install(after_import)
    _once_torch_can_save(conductor.offload, after_import)
    conductor.alone = Alone(steps, sites, conductor.trained_alone)
    steps.on_first = conductor.alone.start
    atexit.register(in_this_process_only, conductor.goodbye)
    keep_tracebacks_clean()


def reach(channel_text: str, inheritable: bool) -> tuple[Channel[Order], descriptors.Descriptors] | None:
    """Return the channel to the tuner and its descriptors, or ``None`` where it does not reach this process.

    Args:
        channel_text: see :data:`gputune.probes.attach.CHANNEL`.
        inheritable: leave the pipes for the process this one starts or becomes.
    """
    found = descriptors.find(channel_text)
    if found is None:
        return None
    for fd in found:
        os.set_inheritable(fd, inheritable)
    return Channel(found.orders, found.events, Order), found


_claimed = False


def claim(fd: int) -> bool:
    """Take the only place of a conducted loop; it is free again when this process ends.

    The lock tells processes apart; within one process the agents of torch and of TensorFlow may both ask.
    """
    global _claimed
    if _claimed:
        return False
    try:
        fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    _claimed = True
    return True


def describe(dataloader: types.ModuleType) -> Environment:
    """Return what this process runs on, after the self-test of hot-swapping (about 0.1 s)."""
    import torch

    method = multiprocessing.get_start_method(allow_none=True) or multiprocessing.get_all_start_methods()[0]
    # The toy loader's workers are forked within 0.1 s; a spawned one would import the user's script again.
    reason = torch_private.lacking(dataloader)
    if not reason and method == "fork":
        reason = torch_private.self_test(dataloader)
    name, uuid, model = device.describe()
    return Environment(
        pid=os.getpid(),
        python=sys.version.split()[0],
        torch=str(torch.__version__),
        device=name,
        device_uuid=uuid,
        device_name=model,
        start_method=method,
        accelerator=device.has_accelerator(),
        hot_swap=not reason,
        hot_swap_reason=reason,
    )


def _watch_worker_info(dataloader: types.ModuleType, ring: clock.Ring) -> None:
    worker = dataloader._utils.worker
    original = worker.get_worker_info

    def get_worker_info() -> Any:
        # Torch's own collate function asks, too; only the dataset's question means that it shards itself.
        if not sys._getframe(1).f_globals.get("__name__", "").startswith("torch.utils.data."):
            ring.note_worker_info()
        return original()

    get_worker_info.__doc__ = original.__doc__
    worker.get_worker_info = dataloader.get_worker_info = get_worker_info  # type: ignore[attr-defined]


def _once_torch_is_ready(steps: StepCounter, after_import: AfterImport) -> None:
    """Install what needs the rest of torch, which is still being imported when the data package is."""
    if "torch.optim.optimizer" in sys.modules and hasattr(sys.modules["torch.optim.optimizer"], "Optimizer"):
        steps.install()
    else:
        after_import("torch.optim.optimizer", lambda _: steps.install())


def _once_torch_can_save(offload: Offload, after_import: AfterImport) -> None:
    if hasattr(sys.modules["torch"], "save"):
        offload.saving.install()
    else:
        after_import("torch.serialization", lambda _: offload.saving.install())


def in_this_process_only(action: Any, pid: int = os.getpid()) -> None:
    """Do something at the exit of this process, but not of those it forks."""
    if os.getpid() == pid:
        action()


def report(channel: Channel[Order], reason: str) -> None:
    """Tell the tuner (or, without one, the user) why nothing can be measured."""
    try:
        channel.send(Trouble(reason=reason))
    except ChannelClosed:
        print(f"gputune: {reason}", file=sys.stderr)


def keep_tracebacks_clean() -> None:
    """Leave our frames out of the user's traceback."""
    here = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    shown = sys.excepthook

    def excepthook(kind: type[BaseException], error: BaseException, trace: types.TracebackType | None) -> None:
        clean = _cleaned(error, here)
        shown(kind, clean, clean.__traceback__)

    sys.excepthook = excepthook


def _cleaned(error: BaseException, folder: str) -> BaseException:
    """Take our frames out of an exception and of all it was caused by."""
    current: BaseException | None = error
    while current is not None:
        current.__traceback__ = _without(current.__traceback__, folder)
        current = current.__cause__ or current.__context__
    return error


def _without(trace: types.TracebackType | None, folder: str) -> types.TracebackType | None:
    if trace is None:
        return None
    rest = _without(trace.tb_next, folder)
    if trace.tb_frame.f_code.co_filename.startswith(folder):
        return rest
    return types.TracebackType(rest, trace.tb_frame, trace.tb_lasti, trace.tb_lineno)
