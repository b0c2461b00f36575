"""Every private name of torch that asynchronous saving relies on, and the test that guards them.

Nothing else in this package may touch a name of torch that starts with an underscore.
"""

from __future__ import annotations

import contextlib
import pickle
from collections.abc import Iterator
from typing import Any

import torch

PRIVATE_NAMES = (
    "torch.serialization._save",
    "torch.serialization._check_dill_version",
    "torch.serialization._get_storage_alignment",
    "torch.serialization._serialization_tls.skip_data",
    "torch._C.PyTorchFileWriter",
    "torch.TypedStorage._pickle_storage_type",
)
"""What :func:`missing_names` looks for. The behaviour behind the names (and the attribute
``_untyped_storage`` that only instances have) is checked by the saver's self-test."""


def missing_names() -> list[str]:
    """Return the names of :data:`PRIVATE_NAMES` that this torch lacks."""
    return [name for name in PRIVATE_NAMES if not _exists(name)]


def _exists(dotted: str) -> bool:
    found: Any = torch
    for part in dotted.split(".")[1:]:
        if not hasattr(found, part):
            return False
        found = getattr(found, part)
    return True


def is_skipping_data() -> bool:
    """Tell whether the caller is inside ``torch.serialization.skip_data()``."""
    return bool(torch.serialization._serialization_tls.skip_data)


def check_pickle_module(module: Any) -> None:
    """Raise what ``torch.save`` raises for a dill that is too old."""
    torch.serialization._check_dill_version(module)


def storage_alignment() -> int:
    """Return the alignment in bytes that ``torch.save`` would use now."""
    return int(torch.serialization._get_storage_alignment())


def run_torch_pickler(obj: object, writer: Any, pickle_module: Any, protocol: int, *, omit_byteorder: bool) -> None:
    """Run the body of ``torch.save`` against ``writer``."""
    serialization: Any = torch.serialization
    serialization._save(obj, writer, pickle_module, protocol, omit_byteorder)


def announcing_storages() -> Any:
    """Return a context in which ``_save`` announces storages to its writer instead of copying them to the
    CPU.

    It must not be entered before pickling is over: ``skip_data`` makes tensors that are quantised or on XLA
    refuse.
    """
    return torch.serialization.skip_data()


def untyped(storage: Any) -> torch.UntypedStorage:
    """Return the bytes behind a typed or untyped storage."""
    found = storage._untyped_storage if isinstance(storage, torch.TypedStorage) else storage
    assert isinstance(found, torch.UntypedStorage)
    return found


@contextlib.contextmanager
def archive_writer(path: str, *, compute_crc32: bool, alignment: int, by_stream: bool) -> Iterator[Any]:
    """Open the zip writer ``torch.save`` would open for a file name.

    ``by_stream`` is what torch does for names that are not ASCII: the archive's folder is then called
    "archive".
    """
    with contextlib.ExitStack() as stack:
        sink = stack.enter_context(open(path, "wb")) if by_stream else path
        writer = torch._C.PyTorchFileWriter(sink, compute_crc32, alignment)
        try:
            yield writer
        except BaseException:
            # An archive that was not ended is ended by its C++ destructor, which aborts the process on a full
            # disk.
            with contextlib.suppress(RuntimeError):
                writer.write_end_of_file()
            raise
        writer.write_end_of_file()


DEFAULT_PROTOCOL = torch.serialization.DEFAULT_PROTOCOL
DEFAULT_PICKLE = pickle
