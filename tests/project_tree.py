"""A project worth protecting, and a picture of it that shows every change a probe must not make."""

from __future__ import annotations

import hashlib
import os
import sqlite3
from pathlib import Path

import numpy as np
import torch
from PIL import Image

NAMES = ("old.txt", "gone.txt", "replaced.txt", "folder/inner.txt", "doomed/a/b.txt", "with, odd: name.txt")
NOBODY = 65534
Picture = dict[str, tuple[object, ...]]


def fill(tree: Path) -> None:
    """Put a checkpoint, a log, a database, links, a read-only file and more into an empty folder."""
    torch.save({"weights": torch.arange(1000.0)}, tree / "checkpoint.pt")
    (tree / "log.csv").write_text("step,loss\n1,0.5\n")
    database = sqlite3.connect(tree / "runs.db")
    database.execute("create table runs (id)")
    database.execute("insert into runs values (1)")
    database.commit()
    database.close()
    np.save(tree / "array.npy", np.zeros(3))
    (tree / "mapped.bin").write_bytes(bytes(10_000))
    (tree / "linked.txt").write_text("original")
    (tree / "link").symlink_to("linked.txt")
    (tree / "read_only.txt").write_text("precious")
    (tree / "read_only.txt").chmod(0o444)
    for name in NAMES:
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(name)
    os.setxattr(tree / "old.txt", "user.note", b"kept")


def add_library_files(tree: Path, *, nobody: bool = False) -> None:
    """Add an HDF5 file (with ``h5py`` where it is installed) and a picture."""
    try:
        import h5py
    except ImportError:
        (tree / "data.h5").write_bytes(b"\x89HDF\r\n\x1a\n")
    else:
        with h5py.File(tree / "data.h5", "w") as file:
            file["x"] = np.zeros(100)
    Image.fromarray(np.zeros((9, 9, 3), np.uint8)).save(tree / "picture.png")
    if nobody:
        for name in ("data.h5", "picture.png"):
            os.chown(tree / name, NOBODY, NOBODY)


def picture(tree: Path) -> Picture:
    """Return mode, owner, size, times, inode, content and attributes of everything in a tree."""
    found: Picture = {}
    for path in [tree, *sorted(tree.rglob("*"))]:
        status = path.lstat()
        content = ""
        if path.is_symlink():
            content = os.readlink(path)
        elif path.is_file():
            content = hashlib.sha256(path.read_bytes()).hexdigest()
        attributes = {} if path.is_symlink() else {name: os.getxattr(path, name) for name in os.listxattr(path)}
        found[str(path)] = (
            status.st_mode, status.st_uid, status.st_gid, status.st_size, status.st_mtime_ns,
            status.st_ctime_ns, status.st_ino, content, attributes,
        )  # fmt: skip
    return found
