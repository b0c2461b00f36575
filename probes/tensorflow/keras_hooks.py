"""The hooks on Keras 3: its compiled steps, its optimisers, what saves models and what its callbacks log.

Keras asks for the next batch inside the compiled step, where nobody can time it. It also has a documented way for
iterators that are no ``tf.data`` iterators: it fetches in Python and runs the same compiled computation on the batch.
While a script is conducted its own iterators take that way.
"""

from __future__ import annotations

import functools
import itertools
import sys
import threading
import time
from collections.abc import Callable
from types import ModuleType
from typing import Any

from gputune.probes.agent.steps import StepCounter
from gputune.probes.attach.wake import AfterImport
from gputune.probes.tensorflow import private
from gputune.probes.tensorflow.hooks import feed_of

Report = Callable[[float, float], None]
LogReport = Callable[[float, float, str], None]
OPTIMIZER = "keras.src.optimizers.base_optimizer"
_CALLBACKS = {
    "keras.src.callbacks.tensorboard": ("TensorBoard", "TensorBoard"),
    "keras.src.callbacks.csv_logger": ("CSVLogger", "CSVLogger"),
}
"""Module -> its class that logs, and what the library is called."""
_SAVERS = {
    "keras.src.saving.saving_api": (("", "save_model"), ("", "save_weights")),
    "tensorflow.python.checkpoint.checkpoint": (("Checkpoint", "save"), ("Checkpoint", "write")),
}
_MOMENTS = ("on_epoch_begin", "on_epoch_end", "on_train_batch_begin", "on_train_batch_end", "on_test_end")
WORTH_S = 0.0005
"""A callback that takes less is not reported."""
_depth = threading.local()


def install(steps: StepCounter, saved: Report, logged: LogReport, after_import: AfterImport) -> None:
    """Put the hooks in place, now or as soon as Keras is imported.

    Args:
        steps: counts optimiser steps.
        saved: told of start and duration of each save on the main thread.
        logged: told of start, duration and library of each logging callback.
        after_import: runs something when a module is there.
    """
    _when_there(private.KERAS_TRAINER, functools.partial(_fetch_outside, steps), after_import)
    _when_there(OPTIMIZER, functools.partial(_count_steps, steps), after_import)
    for name, owners in _SAVERS.items():
        _when_there(name, functools.partial(_time_savers, owners, saved), after_import)
    for name, (kind, library) in _CALLBACKS.items():
        _when_there(name, functools.partial(_time_callback, kind, library, logged), after_import)


def _when_there(name: str, act: Callable[[ModuleType], None], after_import: AfterImport) -> None:
    if name in sys.modules:
        act(sys.modules[name])
    else:
        after_import(name, act)


def _fetch_outside(steps: StepCounter, trainer: ModuleType) -> None:
    kind: Any = trainer.__dict__["TensorFlowTrainer"]
    original = kind._make_function

    @functools.wraps(original)
    def _make_function(self: Any, step_function: Any) -> Any:
        compiled = original(self, step_function)
        trains = getattr(step_function, "__name__", "") == "train_step"

        @functools.wraps(compiled)
        def function(iterator: Any) -> Any:
            if feed_of(iterator) is None:
                return compiled(iterator)
            first = next(iterator)  # at the end this raises what Keras expects
            outputs = compiled(itertools.chain((first,), iterator))
            steps.count += trains
            return outputs

        return function

    kind._make_function = _make_function


def _count_steps(steps: StepCounter, module: ModuleType) -> None:
    """Count updates in custom loops; of a compiled step only the tracing is seen, which is enough to know it trains."""
    kind: Any = module.__dict__["BaseOptimizer"]
    original = kind.apply

    @functools.wraps(original)
    def apply(self: Any, *args: Any, **kwargs: Any) -> Any:
        steps.count += 1
        return original(self, *args, **kwargs)

    kind.apply = apply


def _time_savers(owners: tuple[tuple[str, str], ...], saved: Report, module: ModuleType) -> None:
    for owner_name, name in owners:
        owner = module.__dict__[owner_name] if owner_name else module
        setattr(owner, name, _timed(getattr(owner, name), saved))


def _time_callback(kind: str, library: str, logged: LogReport, module: ModuleType) -> None:
    owner = module.__dict__[kind]

    def report(start_s: float, duration_s: float) -> None:
        if duration_s > WORTH_S:
            logged(start_s, duration_s, library)

    for name in _MOMENTS:
        if name in vars(owner):
            setattr(owner, name, _timed(vars(owner)[name], report))


def _timed(original: Callable[..., Any], report: Report) -> Callable[..., Any]:
    @functools.wraps(original)
    def timed_call(*args: Any, **kwargs: Any) -> Any:
        # Savers call each other, and on other threads they hold nobody up.
        if threading.current_thread() is not threading.main_thread() or getattr(_depth, "inside", False):
            return original(*args, **kwargs)
        _depth.inside, start_s = True, time.monotonic()
        try:
            return original(*args, **kwargs)
        finally:
            _depth.inside = False
            report(start_s, time.monotonic() - start_s)

    return timed_call
