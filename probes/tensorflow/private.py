"""Every private name of TensorFlow and Keras we lean on, so that a release that moves one is noticed."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any

DATASET_OPS = "tensorflow.python.data.ops.dataset_ops"
"""The module whose import wakes the agent."""
KERAS_TRAINER = "keras.src.backend.tensorflow.trainer"
PY_DATASET_ADAPTER = "keras.src.trainers.data_adapters.py_dataset_adapter"

_NEEDED = {
    DATASET_OPS: ("DatasetV2.__iter__", "DatasetV2.map", "DatasetV2.with_options", "DatasetV2._functions"),
    "tensorflow.python.data.ops.iterator_ops": ("OwnedIterator._next_internal", "OwnedIterator.get_next"),
    "tensorflow.python.data.ops.structured_function": ("StructuredFunctionWrapper",),
    "tensorflow.python.data.util.random_seed": ("get_seed",),
    "tensorflow.python.eager.context": ("executing_eagerly",),
    "tensorflow.python.framework.errors": ("OutOfRangeError",),
}


def module(name: str) -> Any:
    """Return a module of TensorFlow's that is imported with its data package."""
    return importlib.import_module(name)


def missing_names() -> list[str]:
    """Return the needed names this TensorFlow lacks."""
    absent = []
    for name, paths in _NEEDED.items():
        try:
            found = module(name)
        except ImportError:
            absent.append(name)
            continue
        absent += [f"{name}.{path}" for path in paths if not _has(found, path)]
    return absent


def _has(thing: Any, path: str) -> bool:
    for part in path.split("."):
        if not hasattr(thing, part):
            return False
        thing = getattr(thing, part)
    return True


def executing_eagerly() -> bool:
    """Whether Python runs the operations itself, not a graph being traced."""
    return bool(module("tensorflow.python.eager.context").executing_eagerly())


def out_of_range() -> type[Exception]:
    """Return the error with which an iterator says that it has ended."""
    kind: type[Exception] = module("tensorflow.python.framework.errors").OutOfRangeError
    return kind


def end_of_sequence() -> Exception:
    """Return the error an iterator raises at its end."""
    kind: Any = out_of_range()
    ended: Exception = kind(None, None, "End of sequence")
    return ended


def versions() -> tuple[str, str]:
    """Return the versions of TensorFlow and Keras in use (Keras: empty when it was not imported)."""
    return _version("tensorflow"), _version("keras")


def _version(name: str) -> str:
    found: ModuleType | None = sys.modules.get(name)
    return str(getattr(found, "__version__", "")) if found is not None else ""
