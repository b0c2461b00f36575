"""Enter the sandbox: a private mount namespace in which every write is diverted to the scratch space.

Runs in the child that becomes the user's command, between fork and exec; the namespace and all its mounts
vanish with the last process in it, so there is nothing to unmount, whoever is killed.
"""

from __future__ import annotations

import os
import stat
from typing import NamedTuple

from gputune.probes.sandbox import kernel
from gputune.probes.sandbox.layout import Mount, Place, within

_FLAGS = {
    "nosuid": kernel.MS_NOSUID,
    "nodev": kernel.MS_NODEV,
    "noexec": kernel.MS_NOEXEC,
    "noatime": kernel.MS_NOATIME,
    "nodiratime": kernel.MS_NODIRATIME,
    "relatime": kernel.MS_RELATIME,
}
MAX_SOCKETS = 256


class Prepared(NamedTuple):
    """Everything decided before the fork."""

    places: list[Place]
    scratch: dict[str, list[str]]
    """For each overlaid path the scratch directories to try, the one on the same disk first."""
    mounts: dict[str, Mount]
    sockets: list[str]
    project: tuple[str, ...]
    main_scratch: str
    memory_bytes: int
    """Size of the tmpfs that holds the writes where no disk can."""


class Entered(NamedTuple):
    """What holds inside."""

    uppers: list[tuple[str, str]]
    """``(overlaid path, directory with its writes)``."""
    notes: list[str]
    in_memory: bool


def enter_namespace(user: bool) -> None:
    """Unshare the mounts; with ``user`` also the user namespace, ids mapped to themselves.

    Raises:
        OSError: where kernel or container forbid it.
    """
    uid, gid = os.geteuid(), os.getegid()
    kernel.unshare(kernel.CLONE_NEWNS | (kernel.CLONE_NEWUSER if user else 0))
    if user:
        _write("/proc/self/setgroups", "deny")
        _write("/proc/self/uid_map", f"{uid} {uid} 1")
        _write("/proc/self/gid_map", f"{gid} {gid} 1")
    kernel.mount(None, "/", None, kernel.MS_REC | kernel.MS_PRIVATE)


class Builder:
    """Mounts the places one by one and remembers what came of it."""

    def __init__(self, prepared: Prepared, user: bool) -> None:
        self._prepared, self._user = prepared, user
        self._memory = ""
        self.entered = Entered([], [], False)
        # Descriptors stay valid once a path is covered, and no path in mount options ever needs escaping.
        self._originals = {place.path: _open(place.path) for place in prepared.places}
        self._sockets = {path: _open(path) for path in prepared.sockets}
        names = {name for names in prepared.scratch.values() for name in names} | {prepared.main_scratch}
        self._scratch = {name: _open(name) for name in names}

    def build(self) -> Entered:
        """Mount everything and return what holds.

        Raises:
            OSError: when a directory of the project can be neither overlaid nor made read-only.
        """
        for number, place in enumerate(self._prepared.places):
            descriptor = self._originals[place.path]
            if descriptor is None:
                continue
            if place.treatment == "overlay" and stat.S_ISDIR(os.stat(descriptor).st_mode):
                self._overlay(number, place.path, descriptor)
            else:
                self._bind(place.path, descriptor, read_only=place.treatment != "kept")
        self._sockets_through()
        self._read_only("/")
        self._close()
        return self.entered

    def _overlay(self, number: int, path: str, descriptor: int) -> None:
        problem: OSError | None = None
        for name in [*self._prepared.scratch[path], ""]:
            try:
                upper = self._mount_overlay(number, path, descriptor, name)
            except OSError as error:
                problem = problem or error
                continue
            self.entered.uppers.append((path, upper))
            if name != self._prepared.scratch[path][0] and within(self._prepared.project[0], [path]):
                where = name or "memory"
                self.entered.notes.append(f"writes to {path} are kept in {where}: their speed is not that of the disk")
            return
        assert problem is not None
        if any(within(project, [path]) for project in self._prepared.project[:1]):
            raise problem
        self.entered.notes.append(f"{path} is read-only during the probe ({problem.strerror})")
        self._bind(path, descriptor, read_only=True)

    def _mount_overlay(self, number: int, path: str, descriptor: int, name: str) -> str:
        base = f"/proc/self/fd/{self._scratch[name]}" if name else self._memory_base()
        upper, work = f"{base}/u{number}", f"{base}/w{number}"
        for directory in (upper, work):
            os.makedirs(directory, exist_ok=True)
        _copy_attributes(descriptor, upper)
        layers = f"lowerdir=/proc/self/fd/{descriptor},upperdir={upper},workdir={work}"
        extras = "userxattr" if self._user else "redirect_dir=on,index=off,metacopy=off"
        kernel.mount("overlay", path, "overlay", 0, f"{layers},{extras}")
        return f"{name or self._prepared.main_scratch + '/memory'}/u{number}"

    def _memory_base(self) -> str:
        if not self._memory:
            target = f"/proc/self/fd/{self._scratch[self._prepared.main_scratch]}/memory"
            os.makedirs(target, exist_ok=True)
            kernel.mount("tmpfs", target, "tmpfs", kernel.MS_NOSUID, f"size={self._prepared.memory_bytes}")
            self._scratch["memory"] = os.open(target, os.O_PATH | os.O_DIRECTORY)
            self._memory = f"/proc/self/fd/{self._scratch['memory']}"
            self.entered = self.entered._replace(in_memory=True)
        return self._memory

    def _bind(self, path: str, descriptor: int, read_only: bool) -> None:
        try:
            kernel.mount(f"/proc/self/fd/{descriptor}", path, None, kernel.MS_BIND | kernel.MS_REC)
        except OSError as error:
            # Not reachable any more means not writable either: the path is hidden below an overlay.
            if not isinstance(error, FileNotFoundError):
                self.entered.notes.append(f"{path} is not visible during the probe ({error.strerror})")
            return
        if read_only:
            self._read_only(path)

    def _read_only(self, path: str) -> None:
        holder = max((point for point in self._prepared.mounts if within(path, [point])), key=len, default="/")
        options = self._prepared.mounts[holder].options if holder in self._prepared.mounts else ()
        flags = sum(_FLAGS.get(option, 0) for option in options)  # a user namespace may not drop these
        kernel.mount(None, path, None, kernel.MS_REMOUNT | kernel.MS_BIND | kernel.MS_RDONLY | flags)

    def _sockets_through(self) -> None:
        """Bind sockets that other programs listen on: through an overlay they refuse connections."""
        for path, descriptor in self._sockets.items():
            if descriptor is not None and stat.S_ISSOCK(os.stat(descriptor).st_mode):
                self._bind(path, descriptor, read_only=False)

    def _close(self) -> None:
        for descriptor in (*self._originals.values(), *self._sockets.values(), *self._scratch.values()):
            if descriptor is not None:
                os.close(descriptor)


def _copy_attributes(descriptor: int, upper: str) -> None:
    """Give the overlay's root the mode, owner and times of the original: the upper layer decides them."""
    original = os.stat(descriptor)
    os.chmod(upper, stat.S_IMODE(original.st_mode))
    if os.geteuid() == 0:
        try:
            os.chown(upper, original.st_uid, original.st_gid)
        except OSError:
            return  # an owner without a mapping here: the script's user owns the diverted directory instead
    os.utime(upper, ns=(original.st_atime_ns, original.st_mtime_ns))


def listening_sockets(places: list[Place]) -> list[str]:
    """Return the paths of Unix sockets that lie where an overlay would hide them."""
    treatments = {place.path: place.treatment for place in places}
    found: set[str] = set()
    with open("/proc/net/unix", encoding="utf-8", errors="surrogateescape") as table:
        for line in table:
            _, slash, rest = line.rstrip("\n").partition(" /")
            path = slash.strip() + rest
            while slash and path not in treatments and path not in ("", "/"):
                path = os.path.dirname(path)
            if treatments.get(path) == "overlay":
                found.add(slash.strip() + rest)
    return sorted(found)[:MAX_SOCKETS]


def _open(path: str) -> int | None:
    try:
        return os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return None  # not reachable for this user, so not for the script either


def _write(path: str, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)
