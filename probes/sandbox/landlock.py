"""Landlock: forbid every write outside a few directories. Needs no privilege, survives fork and exec.

It denies instead of diverting, and does not cover ``chmod``, ``chown``, ``utime`` and extended attributes.
"""

from __future__ import annotations

import os
import struct

from gputune.probes.sandbox import kernel

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION_FLAG, _PATH_BENEATH = 1, 1
_WRITE_FILE, _TRUNCATE, _REFER = 1 << 1, 1 << 14, 1 << 13
_TREE = sum(1 << bit for bit in range(4, 13))  # remove directory and file, make each of seven kinds


def version() -> int:
    """Return the Landlock ABI of the running kernel, 0 where there is none."""
    try:
        return kernel.syscall(_CREATE_RULESET, None, 0, _VERSION_FLAG)
    except OSError:
        return 0  # ENOSYS or EOPNOTSUPP: not built in, or switched off


def restrict(writable: list[str]) -> None:
    """Forbid this process and all its descendants every write outside the ``writable`` paths.

    Raises:
        OSError: without Landlock, or with one (ABI < 3) that cannot forbid truncation.
    """
    if version() < 3:
        raise OSError(f"Landlock ABI {version()} cannot forbid every write; 3 is needed (Linux 6.2)")
    handled = _WRITE_FILE | _TRUNCATE | _REFER | _TREE
    attributes = struct.pack("<Q", handled)
    ruleset = kernel.syscall(_CREATE_RULESET, attributes, len(attributes), 0)
    try:
        for path in writable:
            _allow(ruleset, path, handled)
        kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
        kernel.syscall(_RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)


def _allow(ruleset: int, path: str, handled: int) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        rights = handled if os.path.isdir(path) else _WRITE_FILE | _TRUNCATE
        kernel.syscall(_ADD_RULE, ruleset, _PATH_BENEATH, struct.pack("<Qi", rights, descriptor), 0)
    finally:
        os.close(descriptor)
