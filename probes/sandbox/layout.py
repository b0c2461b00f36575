"""Which directory gets which treatment inside the sandbox: pure decisions over the mount table.

The root mount becomes read-only. On top of it every directory a script may write to is

- ``overlay``: writes are diverted to the scratch space,
- ``frozen``: read-only, where the kernel allows no overlay (a directory with locked mounts below it),
- ``kept``: the real thing, where writes must go through (caches, sockets, devices, shared memory).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import NamedTuple

ZONES = ("/dev", "/proc", "/sys", "/run", "/tmp", "/var/tmp")
"""Never overlaid: sockets, devices and files shared with other processes live here."""
MAX_SPLIT = 64
"""A directory with locked mounts and more children than this is frozen instead of overlaid child by child."""
_LEFT_READ_ONLY = ("/boot", "/lost+found")
_SYSTEM = ("/usr", "/etc", "/boot", "/var", "/snap", "/lib")
_SHARED_MEMORY = ("tmpfs", "ramfs", "hugetlbfs")
_PSEUDO = frozenset(
    [
        "proc",
        "sysfs",
        "devtmpfs",
        "devpts",
        "cgroup",
        "cgroup2",
        "mqueue",
        "debugfs",
        "tracefs",
        "securityfs",
        "bpf",
        "pstore",
        "configfs",
        "fusectl",
        "hugetlbfs",
        "binfmt_misc",
        "autofs",
        "efivarfs",
        "rpc_pipefs",
        "nsfs",
        "ramfs",
        "selinuxfs",
        "fuse.portal",
        "fuse.gvfsd-fuse",
    ]
)


class Mount(NamedTuple):
    """One line of the mount table."""

    point: str
    kind: str
    options: tuple[str, ...]


class Place(NamedTuple):
    """One path and how it is treated."""

    path: str
    treatment: str
    """``overlay``, ``frozen`` or ``kept``."""


class World(NamedTuple):
    """What the layout depends on; all paths are absolute and resolved."""

    mounts: dict[str, Mount]
    project: tuple[str, ...]
    """Directories the script certainly works in: its cwd, directories named as arguments."""
    kept: tuple[str, ...]
    """Paths that pass through: caches, private temporary directory, what the caller keeps writable."""
    locked: bool
    """Mounts below a directory forbid an overlay on it (true in a user namespace)."""
    children: Callable[[str], list[str]]
    """Directories directly below a path, links excluded."""


def parse_mounts(text: str) -> dict[str, Mount]:
    """Return the mounts of ``/proc/self/mountinfo`` by mount point; of stacked ones the topmost."""
    table = {}
    for line in text.splitlines():
        left, _, right = line.partition(" - ")
        fields, kind = left.split(), right.split()[0]
        point = fields[4].encode().decode("unicode_escape").encode("latin-1").decode("utf-8", "surrogateescape")
        table[point] = Mount(point, kind, tuple(fields[5].split(",")))
    return table


def within(path: str, parents: Iterable[str]) -> bool:
    """Return whether ``path`` is one of ``parents`` or lies below one."""
    return any(path == parent or path.startswith(parent.rstrip("/") + "/") for parent in parents)


def arrange(world: World) -> list[Place]:
    """Return the treatments in the order in which they have to be mounted (parents first)."""
    places: dict[str, str] = {}
    for top in world.children("/"):
        if top not in (*ZONES, *_LEFT_READ_ONLY) and top not in world.mounts:
            _cover(world, top, places)
    for mount in world.mounts.values():
        if mount.point != "/":
            _place_mount(world, mount, places)
    for path in ZONES:
        if path not in world.mounts:
            places[path] = "kept"
    kept = [path for path in world.kept if not within("/", [path]) and path not in world.project]
    places.update(dict.fromkeys(kept, "kept"))
    for path in world.project:
        if path in (*ZONES, "/") or within(path, ["/proc", "/sys"]):
            continue
        # In a user namespace a directory of a foreign owner above the project could not be copied up.
        if world.locked or within(path, (*ZONES, *kept)):
            _cover(world, path, places)
    return [Place(path, places[path]) for path in sorted(places, key=lambda path: (path.count("/"), path))]


def unprotected(world: World) -> list[str]:
    """Return the project directories that cannot be protected because other programs share them."""
    return [path for path in world.project if path in ZONES]


def _place_mount(world: World, mount: Mount, places: dict[str, str]) -> None:
    inside = [path for path in world.project if path not in ZONES and within(path, ZONES)]
    in_zone = within(mount.point, ZONES) and not within(mount.point, inside)
    if mount.point in ZONES or within(mount.point, ["/proc", "/sys"]):
        return
    if mount.kind in _PSEUDO or "ro" in mount.options:
        if not in_zone:
            places[mount.point] = "kept"
    elif not (in_zone and mount.kind in _SHARED_MEMORY):
        _cover(world, mount.point, places)


def _cover(world: World, path: str, places: dict[str, str]) -> None:
    prefix = path.rstrip("/") + "/"
    if not world.locked or not any(point.startswith(prefix) for point in world.mounts):
        places[path] = "overlay"
        return
    places[path] = "frozen"
    children = [child for child in world.children(path) if child not in world.mounts and child not in ZONES]
    everything = len(children) <= MAX_SPLIT and not within(path, _SYSTEM)
    for child in children:
        holds_mount = any(point.startswith(child + "/") for point in world.mounts)
        relevant = any(within(child, [name]) or within(name, [child]) for name in world.project)
        if holds_mount or relevant or everything:
            _cover(world, child, places)


def child_directories(path: str) -> list[str]:
    """Return the directories directly below ``path``, none where it cannot be listed."""
    try:
        with os.scandir(path) as entries:
            return sorted(entry.path for entry in entries if entry.is_dir(follow_symlinks=False))
    except OSError:
        return []  # what the user cannot list cannot be overlaid either; it stays behind the read-only root
