"""Overwrites, appends to, renames and deletes every file of a project through one writer; argv: the writer.

Prints how often it did so, having looked each time that the file really is another one, seen from inside.
"""

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch

FILES = ("checkpoint.pt", "log.csv", "data.h5", "runs.db", "link", "read_only.txt", "picture.png")


def with_open(path):
    with open(path, "w") as file:
        file.write("overwritten")


def with_torch(path):
    torch.save({"weights": torch.ones(100)}, path)  # libstdc++ opens the file, not Python


def with_tensorboard(path):
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter("runs of today")
    writer.add_scalar("loss", 0.5, 1)
    writer.close()
    written = max(Path("runs of today").iterdir(), key=lambda file: file.stat().st_mtime_ns)
    os.replace(written, path)  # it names its files itself


def with_h5py(path):
    import h5py

    with h5py.File(path, "w") as file:
        file["x"] = np.ones(100)


def with_safetensors(path):
    from safetensors.torch import save_file

    save_file({"weights": torch.ones(100)}, path)  # written by Rust, through a map of the file


def with_opencv(path):
    import cv2

    os.symlink(path, "alias.png")  # the suffix decides the format
    assert cv2.imwrite("alias.png", np.full((9, 9, 3), 7, np.uint8))
    os.unlink("alias.png")


def with_sqlite(path):
    if Path(path).read_bytes()[:6] != b"SQLite":
        os.truncate(path, 0)  # it refuses what is no database
    database = sqlite3.connect(path)
    database.execute("create table if not exists vandal (id)")
    database.execute("insert into vandal values (1)")
    database.commit()
    database.close()


def with_child(path):
    subprocess.run(["sh", "-c", 'echo overwritten > "$1"', "sh", path], check=True)


class InWorker(torch.utils.data.Dataset):
    def __len__(self):
        return 1

    def __getitem__(self, index):
        assert torch.utils.data.get_worker_info() is not None
        change(self.path, with_open, append, os.rename, os.remove)
        return 0


def with_worker(path):
    dataset = InWorker()
    dataset.path = path
    list(torch.utils.data.DataLoader(dataset, num_workers=1, multiprocessing_context="fork"))


def append(path):
    with open(path, "a") as file:
        file.write("appended")


def append_by_child(path):
    subprocess.run(["sh", "-c", 'echo appended >> "$1"', "sh", path], check=True)


def rename_by_child(old, new):
    subprocess.run(["mv", old, new], check=True)


def remove_by_child(path):
    subprocess.run(["rm", path], check=True)


def append_to_hdf5(path):
    import h5py

    with h5py.File(path, "a") as file:
        file["appended"] = np.ones(10)


WRITERS = {
    "open": (with_open, append, os.rename, os.remove),
    "torch.save": (with_torch, append, os.rename, os.remove),
    "tensorboard": (with_tensorboard, append, os.rename, os.remove),
    "h5py": (with_h5py, append_to_hdf5, os.rename, os.remove),
    "safetensors": (with_safetensors, append, os.rename, os.remove),
    "opencv": (with_opencv, append, os.rename, os.remove),
    "sqlite3": (with_sqlite, with_sqlite, os.rename, os.remove),
    "child": (with_child, append_by_child, rename_by_child, remove_by_child),
    "worker": None,
}


def change(path, overwrite, append, rename, remove):
    """Do all four to one file, in an order that hits the user's own file first with each writer."""
    before = Path(path).read_bytes()
    os.chmod(path, 0o644)
    overwrite(path)
    written = Path(path).read_bytes()
    assert written != before, f"{path} was not overwritten"
    append(path)
    assert Path(path).read_bytes() != written, f"nothing was appended to {path}"
    rename(path, f"{path}.moved")
    assert not os.path.lexists(path)
    remove(f"{path}.moved")
    assert not os.path.lexists(f"{path}.moved")


def main():
    for path in FILES:
        if sys.argv[1] == "worker":
            with_worker(path)
        else:
            change(path, *WRITERS[sys.argv[1]])
    assert not any(os.path.lexists(path) for path in FILES)
    print("changed", len(FILES), "files as", os.getuid())


if __name__ == "__main__":
    main()
