"""Remembers how every dataset was made, so that it can be made again with another value here or there.

The public transformations of ``tf.data.Dataset`` are wrapped; each result carries the call that made it. Making it
again reuses the user's functions as TensorFlow has traced them (their Python does not run a second time) and the seeds
of shuffles, so that the same elements come in the same order.
"""

from __future__ import annotations

import functools
import inspect
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from gputune.probes.agent.sites import is_library
from gputune.probes.tensorflow import private

TRANSFORMATIONS = (
    "map", "interleave", "batch", "padded_batch", "ragged_batch", "prefetch", "shuffle", "repeat", "cache", "take",
    "skip", "shard", "filter", "flat_map", "unbatch", "enumerate", "with_options", "concatenate", "snapshot",
    "ignore_errors", "take_while", "unique", "rebatch",
)  # fmt: skip
_ATTRIBUTE = "_gputune_recipe"
_OURS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_depth = threading.local()

Place = tuple[str, int, str, int]
"""File, line, function and bytecode offset of a call in the user's code; the offset tells calls of one line apart."""


class Recipe:
    """One call of a transformation: ``source.method(**arguments)``."""

    __slots__ = ("arguments", "callers", "method", "original", "source")

    def __init__(
        self,
        source: Any,
        method: str,
        arguments: dict[str, Any],
        original: Callable[..., Any],
        callers: tuple[Place, ...],
    ) -> None:
        self.source, self.method, self.arguments, self.original = source, method, arguments, original
        self.callers = callers
        """The user's frames at the call, innermost first; empty where a library called by itself."""

    def again(self, made: Any, source: Any, arguments: dict[str, Any]) -> Any:
        """Make the dataset ``made`` once more, from another source or with other arguments."""
        with _reusing(made):
            result = self.original(source, **arguments)
        setattr(result, _ATTRIBUTE, Recipe(source, self.method, arguments, self.original, self.callers))
        return result


def of(dataset: Any) -> Recipe | None:
    """Return how a dataset was made; ``None`` for sources and for what was made out of our sight."""
    found = getattr(dataset, _ATTRIBUTE, None)
    return found if isinstance(found, Recipe) else None


def install(dataset_class: Any) -> None:
    """Wrap the transformations of a dataset class."""
    for name in TRANSFORMATIONS:
        original = dataset_class.__dict__.get(name)
        if inspect.isfunction(original):
            setattr(dataset_class, name, _recording(name, original))


def _recording(name: str, original: Callable[..., Any]) -> Callable[..., Any]:
    signature = inspect.signature(original)

    @functools.wraps(original)
    def transformation(self: Any, *args: Any, **kwargs: Any) -> Any:
        # Transformations call each other, and tracing the user's function may make datasets of its own.
        if getattr(_depth, "inside", False):
            return original(self, *args, **kwargs)
        _depth.inside = True
        try:
            made = original(self, *args, **kwargs)
        finally:
            _depth.inside = False
        if private.executing_eagerly():
            arguments = dict(list(signature.bind(self, *args, **kwargs).arguments.items())[1:])
            setattr(made, _ATTRIBUTE, Recipe(self, name, arguments, original, callers()))
        return made

    return transformation


def callers() -> tuple[Place, ...]:
    """Return the user's own frames on the stack, innermost first."""
    frame: FrameType | None = sys._getframe(1)
    found: list[Place] = []
    while frame is not None:
        file = frame.f_code.co_filename
        if not file.startswith(_OURS) and not is_library(file) and os.path.isabs(file):
            found.append((file, frame.f_lineno, frame.f_code.co_qualname, frame.f_lasti))
        frame = frame.f_back
    return tuple(found)


@contextmanager
def _reusing(made: Any) -> Iterator[None]:
    """Let the constructor of a dataset take the traced function and the seeds of ``made`` instead of new ones."""
    functions = private.module("tensorflow.python.data.ops.structured_function")
    seeds = private.module("tensorflow.python.data.util.random_seed")
    wrapper, get_seed = functions.StructuredFunctionWrapper, seeds.get_seed
    traced = made._functions()
    if len(traced) == 1:
        functions.StructuredFunctionWrapper = lambda *args, **kwargs: traced[0]
    if hasattr(made, "_seed") and hasattr(made, "_seed2"):
        seeds.get_seed = lambda seed: (made._seed, made._seed2)
    before, _depth.inside = getattr(_depth, "inside", False), True
    try:
        yield
    finally:
        functions.StructuredFunctionWrapper, seeds.get_seed = wrapper, get_seed
        _depth.inside = before
