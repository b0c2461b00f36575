"""Builds the agent's parts and puts them in place, right after TensorFlow's data package was imported."""

from __future__ import annotations

import atexit
import os
import sys
import time
from pathlib import Path
from types import ModuleType

import msgspec

from gputune.probes.agent.apply import ApplyConfig
from gputune.probes.agent.loggers import Logging
from gputune.probes.agent.start import claim, in_this_process_only, keep_tracebacks_clean, reach, report
from gputune.probes.agent.steps import StepCounter
from gputune.probes.attach.wake import AfterImport
from gputune.probes.protocol import Environment
from gputune.probes.tensorflow import apply, hooks, keras_hooks, private, py_dataset, recipes
from gputune.probes.tensorflow.conductor import Conductor
from gputune.probes.tensorflow.sites import Sites


def start_apply(config_path: str, after_import: AfterImport) -> None:
    """Set the pipelines' settings from a file (``gputune run``)."""
    config = msgspec.json.decode(Path(config_path).read_bytes(), type=ApplyConfig)
    apply.set_threads(config)
    apply.Applier(config).install(after_import)
    keep_tracebacks_clean()


def start_probe(
    dataset_ops: ModuleType,
    channel_text: str,
    config_path: str,
    after_import: AfterImport,
    *,
    inheritable: bool = False,
) -> None:
    """Let the tuner at the other end of the channel conduct this process.

    Args:
        dataset_ops: the module ``tensorflow.python.data.ops.dataset_ops``.
        channel_text: see :data:`gputune.probes.attach.CHANNEL`.
        config_path: settings of a fresh-process trial, of which only the threads of the process matter here.
        after_import: runs something when another module is there.
        inheritable: this may be a launcher: leave the pipes for the process it starts or becomes.
    """
    reached = reach(channel_text, inheritable)
    if reached is None:
        return
    channel, found = reached
    threads = (0, 0)
    if config_path:
        threads = apply.set_threads(msgspec.json.decode(Path(config_path).read_bytes(), type=ApplyConfig))
    absent = private.missing_names()
    if absent:
        report(channel, f"this TensorFlow lacks {', '.join(absent)}")
        return
    sites, steps = Sites(threads), StepCounter()
    conductor = Conductor(
        channel,
        sites,
        steps,
        environment=_environment,
        claim=lambda: claim(found.events),
        started_s=time.monotonic(),
    )
    recipes.install(dataset_ops.__dict__["DatasetV2"])
    hooks.install(sites, conductor)
    keras_hooks.install(steps, conductor.checkpointed, conductor.logged, after_import)
    after_import(private.PY_DATASET_ADAPTER, py_dataset.install)
    Logging(conductor.logged).install(lambda name, callback: None)
    atexit.register(in_this_process_only, conductor.goodbye)
    keep_tracebacks_clean()


def _environment() -> Environment:
    tensorflow, keras = private.versions()
    gpus = private.module("tensorflow").config.list_physical_devices("GPU")
    return Environment(
        pid=os.getpid(),
        python=sys.version.split()[0],
        torch="",
        tensorflow=tensorflow,
        keras=keras,
        device="cuda:0" if gpus else "cpu",
        accelerator=bool(gpus),
    )
