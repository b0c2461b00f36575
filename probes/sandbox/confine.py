"""Bring one process into one kind of protection: prepared before the fork, done after."""

from __future__ import annotations

import os
from typing import Any, NamedTuple

from gputune.probes.sandbox import landlock, overlay, scratch
from gputune.probes.sandbox.layout import World, arrange, child_directories, parse_mounts, unprotected, within

NO_UPPER = frozenset(
    [
        "nfs",
        "nfs4",
        "overlay",
        "vfat",
        "exfat",
        "cifs",
        "smb3",
        "9p",
        "lustre",
        "ceph",
        "fuseblk",
        "ntfs3",
        "ramfs",
        "squashfs",
        "iso9660",
    ]
)
"""File systems that cannot hold the writes of an overlay (``fuse.*`` cannot either)."""


class Request(NamedTuple):
    """What the tuner asked for."""

    argv: list[str]
    cwd: str
    environment: dict[str, str]
    mode: str
    limit_bytes: int
    kept: list[str]
    writable: list[str]

    @property
    def project(self) -> tuple[str, ...]:
        """The working directory, and the directories named by the arguments."""
        found = [os.path.realpath(self.cwd)]
        for argument in self.argv[1:]:
            name = argument.partition("=")[2] if argument.startswith("-") else argument
            path = os.path.realpath(os.path.join(self.cwd, name)) if name else ""
            if path and os.path.exists(path):
                found.append(path if os.path.isdir(path) else os.path.dirname(path))
        return tuple(dict.fromkeys(found))


class Space(NamedTuple):
    """The scratch directories of one start."""

    main: str
    temporary: str
    """The script's private ``TMPDIR``."""
    others: list[str]
    """Directories on other disks, for the writes that belong there."""

    @property
    def all(self) -> list[str]:
        """Every directory that has to be removed."""
        return [self.main, *self.others]


def make_space(request: Request) -> Space:
    """Create the main scratch directory, near the user's own temporary files.

    Raises:
        OSError: when no base is writable.
    """
    problem: OSError | None = None
    for base in scratch.bases(request.environment):
        try:
            main = scratch.create(base)
        except OSError as error:
            problem = problem or error
            continue
        os.mkdir(os.path.join(main, "tmp"), 0o700)
        return Space(main, os.path.join(main, "tmp"), [])
    raise problem or OSError("there is no directory for temporary files")


def prepare_overlay(request: Request, space: Space, user: bool) -> overlay.Prepared:
    """Decide the layout and make scratch directories on every disk that needs one."""
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        mounts = parse_mounts(file.read())
    home = os.path.realpath(request.environment.get("HOME", "/"))
    named = [*request.project, *([home] if os.path.isdir(home) else [])]
    project = tuple(dict.fromkeys([*named, *(_own_top(path) for path in named)] if user else named))
    kept = tuple(os.path.realpath(path) for path in [*request.kept, *request.writable] if os.path.exists(path))
    world = World(mounts, project, (*kept, space.main), user, child_directories)
    places = arrange(world)
    per_device: dict[int, list[str]] = {}
    for place in places:
        if place.treatment == "overlay":
            device = _device(place.path)
            per_device.setdefault(device, _scratch_on(device, place.path, request, space, mounts))
    choices = {
        place.path: [*per_device[_device(place.path)], space.main] for place in places if place.treatment == "overlay"
    }
    return overlay.Prepared(
        places,
        choices,
        mounts,
        overlay.listening_sockets(places),
        request.project,
        space.main,
        _memory_bytes(request),
    )


def _memory_bytes(request: Request) -> int:
    """Writes held in memory may take at most half of what is available."""
    with open("/proc/meminfo", encoding="ascii") as file:
        available = next(int(line.split()[1]) << 10 for line in file if line.startswith("MemAvailable:"))
    return min(request.limit_bytes, available // 2)


def _scratch_on(device: int, path: str, request: Request, space: Space, mounts: dict[str, Any]) -> list[str]:
    if device == _device(space.main):
        return []
    holder = max((point for point in mounts if within(path, [point])), key=len, default="/")
    kind = mounts[holder].kind if holder in mounts else ""
    if kind in NO_UPPER or kind.startswith("fuse."):
        return []
    parent = os.path.dirname(os.path.realpath(request.cwd))
    for base in (*scratch.bases(request.environment), parent, holder, path):
        if _device(base) == device and os.access(base, os.W_OK | os.X_OK):
            try:
                found = scratch.create(base)
            except OSError:
                continue  # full, or read-only after all: the next one
            space.others.append(found)
            return [found]
    return []


def _own_top(path: str) -> str:
    """Return the highest directory above ``path`` from which down all belongs to this user."""
    while path != "/":
        parent = os.stat(os.path.dirname(path))
        if (parent.st_uid, parent.st_gid) != (os.geteuid(), os.getegid()):
            break
        path = os.path.dirname(path)
    return path


def _device(path: str) -> int:
    try:
        return os.stat(path).st_dev
    except OSError:
        return -1


class Protection(NamedTuple):
    """What the child could put in place."""

    uppers: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()
    in_memory: bool = False


def enter(mode: str, request: Request, space: Space, prepared: overlay.Prepared | None, user: bool) -> Protection:
    """Protect this process; runs in the child.

    Raises:
        OSError: when this kind of protection cannot be had.
    """
    if mode == "overlay":
        assert prepared is not None
        shared = _shared_notes(request, prepared)  # before: inside, foreign owners cannot be told apart
        overlay.enter_namespace(user)
        entered = overlay.Builder(prepared, user).build()
        notes = (*shared, *entered.notes)
        return Protection(tuple(entered.uppers), notes, entered.in_memory)
    if mode == "landlock":
        landlock.restrict(["/dev", "/proc", space.main, *request.kept, *request.writable])
        return Protection(notes=("the script cannot write to its own directories: a write there fails",))
    return Protection()


def _shared_notes(request: Request, prepared: overlay.Prepared) -> list[str]:
    world = World(prepared.mounts, request.project, (), False, child_directories)
    notes = [f"files directly in {path} are not protected: other programs share it" for path in unprotected(world)]
    if "/" in request.project:
        notes.append("files directly in / are read-only during the probe")
    frozen = [place.path for place in prepared.places if place.treatment == "frozen"]
    notes += [
        f"files directly in {path} are read-only during the probe: other file systems are mounted below it"
        for path in frozen
        if within(path, request.project)
    ]
    status = os.stat(request.cwd)
    foreign = status.st_gid != os.getegid() or status.st_uid != os.geteuid()
    if os.geteuid() != 0 and foreign and os.access(request.cwd, os.W_OK):
        notes.append(f"{request.cwd} belongs to another user or group: writing to existing files there may fail")
    return notes


def prepare_copy(request: Request, space: Space) -> tuple[Request, dict[str, tuple[int, ...]]]:
    """Copy the project and point the command at the copy.

    Raises:
        OSError: when the project is too large or cannot be read.
    """
    from gputune.probes.sandbox import treecopy  # shutil costs 3 ms, and copies are the last resort

    original = os.path.realpath(request.cwd)
    copy = os.path.join(space.main, "copy")
    if within(space.main, [original]):
        raise OSError(f"{original} holds the temporary files: it cannot be copied")
    manifest = treecopy.copy_tree(original, copy)
    argv = [_moved(argument, original, copy) for argument in request.argv]
    environment = {**request.environment, "PWD": copy}
    return request._replace(argv=argv, cwd=copy, environment=environment), manifest


def _moved(argument: str, original: str, copy: str) -> str:
    option, equals, value = argument.partition("=") if argument.startswith("-") else ("", "", argument)
    if os.path.isabs(value) and within(os.path.realpath(value), [original]):
        return option + equals + copy + os.path.realpath(value)[len(original) :]
    return argument
