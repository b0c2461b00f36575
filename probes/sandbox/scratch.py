"""The scratch space: where diverted writes go. Always removed, if not by its owner then by the next run.

A scratch directory has a random name, mode 0700 and a file that says which process owns it.
"""

from __future__ import annotations

import os
import signal
import stat
import time
from collections.abc import Iterable

from gputune.probes.sandbox import reap

PREFIX = ".gputune-"
OWNER_FILE = "owner"
MARK = "GPUTUNE_SCRATCH"
"""Environment variable of every probed process: the scratch directory it writes to."""
_ORPHAN_AGE_S = 3600.0


def bases(environment: dict[str, str]) -> list[str]:
    """Return the directories in which a scratch directory may be made, most discreet first."""
    cache = environment.get("XDG_CACHE_HOME") or os.path.join(environment.get("HOME", "/"), ".cache")
    names = (environment.get("TMPDIR") or "/tmp", "/tmp", "/var/tmp", cache)
    return list(dict.fromkeys(os.path.realpath(name) for name in names if os.path.isdir(name)))


def create(base: str) -> str:
    """Make a scratch directory owned by this process.

    Raises:
        OSError: when ``base`` is not writable.
    """
    # tempfile and shutil together cost the keeper 15 ms of imports: a random name is all it needs here.
    path = os.path.join(base, PREFIX + os.urandom(6).hex())
    os.mkdir(path, 0o700)
    with open(os.path.join(path, OWNER_FILE), "w", encoding="utf-8") as file:
        file.write("\n".join((*_host(), str(os.getpid()), str(reap.start_ticks(os.getpid())))))
    return path


def used_bytes(paths: Iterable[str]) -> int:
    """Return the disk space below ``paths``; what cannot be read counts as nothing."""
    total = 0
    pending = list(paths)
    while pending:
        try:
            with os.scandir(pending.pop()) as entries:
                for entry in entries:
                    total += entry.stat(follow_symlinks=False).st_blocks * 512
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(entry.path)
        except OSError:
            continue  # removed while we looked, or a directory the script made unreadable
    return total


def remove(path: str) -> bool:
    """Remove a scratch directory with everything in it, also what was made read-only; False if it stays."""
    for _ in range(3):
        try:
            _remove_tree(path)
        except OSError:
            time.sleep(0.01)  # something in it vanished or came up under our hands: look again
        if not os.path.lexists(path):
            return True
    return False


def _remove_tree(path: str) -> None:
    if not stat.S_ISDIR(os.lstat(path).st_mode):
        os.unlink(path)
        return
    try:
        names = os.listdir(path)
        os.chmod(path, stat.S_IRWXU)  # overlayfs and scripts leave directories their owner cannot write to
    except PermissionError:
        os.chmod(path, stat.S_IRWXU)
        names = os.listdir(path)
    for name in names:
        _remove_tree(f"{path}/{name}")
    os.rmdir(path)


def sweep_stale(more_bases: Iterable[str] = (), environment: dict[str, str] | None = None) -> list[str]:
    """Remove what keepers killed by SIGKILL left behind: their scratch directories and processes.

    Only directories of this user on this host whose owner is certainly gone are touched. Returns their paths.
    """
    found = []
    for base in (*bases(dict(os.environ) if environment is None else environment), *more_bases):
        try:
            with os.scandir(base) as entries:
                found += [entry.path for entry in entries if entry.name.startswith(PREFIX) and _is_stale(entry)]
        except OSError:
            continue  # not readable: nothing of ours can be in it
    for path in found:
        bury(path)
    return found


def bury(path: str) -> None:
    """Kill every process that works on this scratch directory and remove it."""
    mark = f"{MARK}={path}".encode()
    for _ in range(20):
        marked = [pid for pid in reap.parents() if pid != os.getpid() and mark in _environment(pid)]
        for pid in marked:
            try:
                os.kill(pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                continue  # gone meanwhile
        if not marked:
            break
        time.sleep(0.01)
    remove(path)


def _environment(pid: int) -> list[bytes]:
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            return file.read().split(b"\0")
    except OSError:
        return []  # another user's, or gone


def _host() -> tuple[str, str, str]:
    """Return what makes a process id unique: host, boot and process namespace."""
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        boot = file.read().strip()
    return os.uname().nodename, boot, str(os.stat("/proc/self/ns/pid").st_ino)


def _is_stale(entry: os.DirEntry[str]) -> bool:
    status = entry.stat(follow_symlinks=False)
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
        return False
    try:
        with open(os.path.join(entry.path, OWNER_FILE), encoding="utf-8") as file:
            host, boot, namespace, pid, started = file.read().split("\n")
        here = _host()
        if host != here[0]:
            return False  # a home shared by machines: the owner may live on another one
        if boot != here[1]:
            return True
        return namespace == here[2] and reap.start_ticks(int(pid)) != int(started)
    except (OSError, ValueError):
        return time.time() - status.st_mtime > _ORPHAN_AGE_S  # killed before it could sign; nothing else looks so
