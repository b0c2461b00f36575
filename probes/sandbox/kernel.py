"""The few Linux system calls that Python does not offer, as functions that raise ``OSError``."""

from __future__ import annotations

import ctypes
import os
import struct

CLONE_NEWNS = 0x0002_0000
CLONE_NEWUSER = 0x1000_0000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC = 1, 2, 4, 8
MS_REMOUNT, MS_NOATIME, MS_NODIRATIME, MS_BIND, MS_REC = 32, 1024, 2048, 4096, 16384
MS_PRIVATE, MS_RELATIME = 1 << 18, 1 << 21
PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS, PR_SET_CHILD_SUBREAPER = 1, 38, 36
SI_KERNEL = 0x80
"""``si_code`` of a signal sent by the kernel, such as Ctrl-C at a terminal."""
_SFD_NONBLOCK, _SFD_CLOEXEC = 0o4000, 0o2000000
_SIGINFO = struct.Struct("<IiiI")
_SIGINFO_BYTES = 128
_libc = ctypes.CDLL(None, use_errno=True)
_libc.mount.argtypes = [ctypes.c_char_p] * 3 + [ctypes.c_ulong, ctypes.c_char_p]
_libc.syscall.restype = ctypes.c_long


def check(result: int, what: str) -> int:
    """Return ``result`` of a C call, or raise the ``OSError`` it stands for."""
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")
    return result


def unshare(flags: int) -> None:
    """Move this (single-threaded) process into new namespaces."""
    check(_libc.unshare(flags), "unshare")


def mount(source: str | None, target: str, kind: str | None, flags: int = 0, data: str | None = None) -> None:
    """Call ``mount(2)``."""
    arguments = [None if text is None else os.fsencode(text) for text in (source, target, kind)]
    options = None if data is None else os.fsencode(data)
    check(_libc.mount(*arguments, flags, options), f"mount {kind or 'bind'} on {target}")


def prctl(option: int, value: int) -> None:
    """Call ``prctl(2)`` with one argument."""
    check(_libc.prctl(option, value, 0, 0, 0), f"prctl {option}")


def syscall(number: int, *arguments: int | bytes | None) -> int:
    """Call a system call by number (the same on every architecture for those from 424 up)."""
    words = [ctypes.c_long(item) if isinstance(item, int) else item for item in arguments]
    return check(_libc.syscall(ctypes.c_long(number), *words), f"system call {number}")


def signal_descriptor(signals: set[int]) -> int:
    """Return a non-blocking descriptor from which the (blocked) ``signals`` can be read."""
    mask = (ctypes.c_ulong * 16)()  # glibc's sigset_t: 1024 bits
    for number in signals:
        mask[(number - 1) // 64] |= 1 << ((number - 1) % 64)
    return check(_libc.signalfd(-1, ctypes.byref(mask), _SFD_NONBLOCK | _SFD_CLOEXEC), "signalfd")


def read_signals(descriptor: int) -> list[tuple[int, int]]:
    """Return ``(signal number, si_code)`` of every signal that waits."""
    try:
        data = os.read(descriptor, 64 * _SIGINFO_BYTES)
    except BlockingIOError:
        return []
    found = []
    for offset in range(0, len(data), _SIGINFO_BYTES):
        number, _, code, _ = _SIGINFO.unpack_from(data, offset)
        found.append((number, code))
    return found
