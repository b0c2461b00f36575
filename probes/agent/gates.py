"""What must not be tried with a dataset, found out before anything is tried.

Raising num_workers from 0 forks the dataset: an open file's offset is then shared between workers, which was
measured to return wrong bytes without an error. An IterableDataset that never asks which worker it is in would
deliver every sample once a worker. A batch that cannot be pickled makes torch's loop wait for ever.
"""

from __future__ import annotations

import io
import pickle
import socket
import sqlite3
import zipfile
from collections import deque
from typing import Any

from gputune.probes.protocol import Gate

_HANDLES: tuple[type, ...] = (io.IOBase, zipfile.ZipFile, sqlite3.Connection, socket.socket)
_HANDLE_MODULES = {
    "h5py._hl.files": "File",
    "lmdb": "Environment",
    "tarfile": "TarFile",
    "netCDF4": "Dataset",
}
_MAX_OBJECTS = 20_000
"""Objects looked at in the dataset; a million-entry file list is not walked to its end."""


def check(loader: Any, *, asked_worker_info: bool, batch: Any, iterable: bool) -> list[Gate]:
    """Return the restrictions for the training loader.

    Args:
        loader: the loader with the user's own settings.
        asked_worker_info: whether ``get_worker_info()`` was called while the dataset was iterated.
        batch: a batch it has just delivered.
        iterable: whether the dataset is an IterableDataset.
    """
    gates = []
    now = getattr(loader, "num_workers", 0)
    if iterable and not asked_worker_info and now <= 1:
        gates.append(
            Gate(
                setting="num_workers",
                allowed=[0, 1],
                reason="num_workers above 1 would repeat every sample: the IterableDataset "
                f"{type(loader.dataset).__qualname__} never calls torch.utils.data.get_worker_info() to shard itself",
            )
        )
    if now == 0:
        found = open_handle(loader.dataset)
        if found:
            gates.append(
                Gate(
                    setting="num_workers",
                    allowed=[0],
                    reason=f"num_workers stays 0: the dataset holds {found}, which forked workers would share "
                    "(wrong bytes without an error); open it lazily inside __getitem__ to lift this",
                )
            )
        else:
            problem = unpicklable(batch)
            if problem:
                gates.append(
                    Gate(
                        setting="num_workers",
                        allowed=[0],
                        reason=f"num_workers stays 0: a batch cannot be sent between processes ({problem})",
                    )
                )
    return gates


def open_handle(root: Any) -> str:
    """Return a description of the first open file, connection or CUDA tensor inside an object, or an empty string."""
    queue: deque[tuple[Any, str]] = deque([(root, type(root).__name__)])
    seen: set[int] = set()
    while queue and len(seen) < _MAX_OBJECTS:
        thing, path = queue.popleft()
        if id(thing) in seen:
            continue
        seen.add(id(thing))
        if _is_handle(thing):
            return f"an open {type(thing).__name__} at {path}"
        if getattr(thing, "is_cuda", False) is True:
            return f"a CUDA tensor at {path}"
        queue.extend(_children(thing, path))
    return ""


def _is_handle(thing: Any) -> bool:
    if isinstance(thing, _HANDLES):
        in_memory = isinstance(thing, (io.BytesIO, io.StringIO))
        return not in_memory and not getattr(thing, "closed", False)
    kind = type(thing)
    return any(kind.__module__.startswith(m) and kind.__name__ == n for m, n in _HANDLE_MODULES.items())


def _children(thing: Any, path: str) -> list[tuple[Any, str]]:
    if isinstance(thing, dict):
        return [(value, f"{path}[{key!r}]") for key, value in list(thing.items())[:100]]
    if isinstance(thing, (list, tuple, set, frozenset)):
        return [(value, f"{path}[{index}]") for index, value in enumerate(list(thing)[:100])]
    attributes = getattr(thing, "__dict__", None)
    if not isinstance(attributes, dict) or isinstance(thing, type) or type(thing).__name__ == "module":
        return []
    return [(value, f"{path}.{name}") for name, value in list(attributes.items())]


def unpicklable(batch: Any) -> str:
    """Return why a batch cannot be pickled, or an empty string."""
    try:
        pickle.dumps(batch, protocol=pickle.HIGHEST_PROTOCOL)
    except Exception as error:  # noqa: BLE001  pickling runs the user's code; whatever it raises is the answer
        return f"{type(error).__name__}: {error}".splitlines()[0][:120]
    return ""
