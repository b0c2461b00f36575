"""Runs drive.py as root of a container: the whole root is an overlay, as under Docker.

Usage: container.py FOLDER REQUEST (FOLDER on a disk takes the container's layer)
"""

import ctypes
import os
import sys

CLONE_NEWNS, MS_BIND, MS_REC, MS_PRIVATE, MNT_DETACH, PIVOT_ROOT = 0x20000, 4096, 16384, 1 << 18, 2, 155
libc = ctypes.CDLL(None, use_errno=True)


def mount(source, target, kind, flags=0, data=None):
    arguments = [None if text is None else text.encode() for text in (source, target, kind)]
    if libc.mount(*arguments, flags, data and data.encode()):
        raise OSError(ctypes.get_errno(), f"mount {target}")


folder, request = sys.argv[1:]
assert libc.unshare(CLONE_NEWNS) == 0
mount(None, "/", None, MS_REC | MS_PRIVATE)
for name in ("upper", "work", "root"):
    os.mkdir(f"{folder}/{name}")
root = f"{folder}/root"
mount("overlay", root, "overlay", 0, f"lowerdir=/,upperdir={folder}/upper,workdir={folder}/work")
for name in ("/proc", "/dev"):
    mount(name, root + name, None, MS_BIND | MS_REC)
os.chdir(root)
os.makedirs("old_root", exist_ok=True)
assert libc.syscall(PIVOT_ROOT, b".", b"old_root") == 0
os.chdir("/")
assert libc.umount2(b"/old_root", MNT_DETACH) == 0
os.execv(
    sys.executable,
    [sys.executable, os.path.join(os.path.dirname(os.path.abspath(__file__)), "drive.py"), request],
)
