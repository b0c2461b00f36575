"""Overwrites, appends to, renames and deletes everything in its directory, through every writer at hand."""

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile

import numpy as np
import torch


class Writes(torch.utils.data.Dataset):
    def __len__(self):
        return 4

    def __getitem__(self, index):
        with open("log.csv", "a") as file:
            file.write(f"worker,{index}\n")
        return torch.zeros(1)


def main():
    torch.save({"weights": torch.zeros(1000)}, "checkpoint.pt")  # libstdc++ opens the file, not Python
    assert torch.load("checkpoint.pt")["weights"].sum() == 0
    with open("log.csv", "a") as file:
        file.write("one,more,line\n")
    database = sqlite3.connect("runs.db")
    database.execute("insert into runs values (2)")
    database.commit()
    assert database.execute("select count(*) from runs").fetchone() == (2,)
    database.close()
    np.save("array.npy", np.ones(5))
    mapped = np.memmap("mapped.bin", dtype=np.uint8, mode="r+")
    mapped[:] = 7
    mapped.flush()
    with open("link", "a") as file:  # through the link into linked.txt
        file.write("changed")
    os.chmod("read_only.txt", 0o644)
    with open("read_only.txt", "w") as file:
        file.write("not any more")
    os.utime("old.txt", (1, 1))
    os.rename("old.txt", "renamed.txt")
    shutil.move("folder", "moved folder")
    shutil.rmtree("doomed")
    os.makedirs("new/deep")
    subprocess.run(
        "echo child > 'new/deep/child, of: a shell.txt'; rm gone.txt; cp checkpoint.pt copy.pt",
        shell=True,
        check=True,
    )
    with open("temporary", "w") as file:
        file.write("whole")
    os.replace("temporary", "replaced.txt")
    with open(os.path.expanduser("~/.vandal"), "w") as file:
        file.write("in the home directory")
    loader = torch.utils.data.DataLoader(Writes(), num_workers=2, multiprocessing_context="fork")
    assert len(list(loader)) == 4
    assert len(open("log.csv").readlines()) == 2 + 1 + 4
    tempfile.mkdtemp()
    assert os.path.samefile(os.getcwd(), os.environ["PWD"])
    print("vandalised", os.getcwd(), "as", os.getuid())


if __name__ == "__main__":
    main()
    sys.exit(int(sys.argv[1]) if len(sys.argv) > 1 else 0)
