"""A starved training script that overwrites its own files and then suffers; argv: how.

``worker-*``: something that happens in loader workers, of which the user has none: only a trial can meet it.
"""

import ctypes
import os
import signal
import sys
import threading
import time
from multiprocessing.shared_memory import SharedMemory

import torch
from torch.utils.data import DataLoader, Dataset, default_collate, get_worker_info

how = sys.argv[1] if len(sys.argv) > 1 else "nothing"
lock = threading.Lock()
shared_fd = -1
STEP_S, SAMPLE_S = 0.004, 0.002


def fill_shared_memory():
    """Another program takes all of /dev/shm but a little; it is started once, whichever worker comes first."""
    try:
        file = os.open("/dev/shm/another_program", os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    except FileExistsError:
        return
    space = os.statvfs("/dev/shm")
    os.posix_fallocate(file, 0, (space.f_bavail - 8) * space.f_frsize)


def suffer_in_worker():
    if how == "worker-killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "worker-out-of-memory":
        hoard = bytearray(1 << 30)
        hoard[:: 1 << 12] = b"x" * (1 << 18)
        return len(hoard)
    if how.startswith("worker-shared-memory"):
        fill_shared_memory()
    if how == "worker-shared-memory-bus":
        shared = SharedMemory(create=True, size=1 << 20)
        shared.buf[:] = bytes(1 << 20)
    if how == "worker-hangs":
        time.sleep(10000)
    if how == "worker-deadlock":
        with lock, lock:
            pass
    return 0


class Records(Dataset):
    def __len__(self):
        return 400_000

    def __getitem__(self, i):
        time.sleep(SAMPLE_S)
        if how == "worker-shared-file":
            os.lseek(shared_fd, 4 * (i % 1000), os.SEEK_SET)
            time.sleep(SAMPLE_S)
            return torch.full((8,), float(int.from_bytes(os.read(shared_fd, 4), "little"))), i
        if get_worker_info() is not None:
            suffer_in_worker()
            if how == "worker-unpicklable":
                return torch.zeros(8), lambda: i
        return torch.full((16_384 if how == "worker-shared-memory" else 8,), float(i)), i


def collate(samples):
    if how == "worker-shared-memory":
        return default_collate(samples)  # which puts its result into shared memory itself
    return torch.stack([x for x, _ in samples]), [y for _, y in samples]


def leave_daemons():
    """A double fork into a session of its own that ignores polite signals."""
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN)
            time.sleep(10000)
        os._exit(0)


def step(k, x, model, optimizer):
    optimizer.zero_grad()
    model(x[:, :8]).sum().backward()
    optimizer.step()
    time.sleep(STEP_S)
    if how == "prints" and k < 100:
        print("x" * (1 << 20), flush=True)
    if how.startswith("fills-"):
        with open("big.bin" if how == "fills-scratch" else f"{os.environ['TMPDIR']}/big.bin", "ab") as file:
            file.write(bytes(1 << 20))
    if how == "os-exit" and k == 200:
        os._exit(3)
    if how == "segfault" and k == 200:
        ctypes.string_at(0)


def train():
    torch.save({"weights": torch.zeros(1000)}, "checkpoint.pt")
    with open("log.csv", "a") as file:
        file.write("2,0.25\n")
    if how == "own-handlers":
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD, signal.SIGHUP, signal.SIGPIPE):
            signal.signal(number, lambda *_: None)
    if how == "daemons":
        leave_daemons()
    model = torch.nn.Linear(8, 1)
    optimizer = torch.optim.SGD(model.parameters(), 1e-9)
    loader = DataLoader(Records(), batch_size=8, collate_fn=collate)
    while True:
        for k, (x, _) in enumerate(loader):
            step(k, x, model, optimizer)


if __name__ == "__main__":
    if how == "worker-shared-file":
        with open("records.bin", "wb") as records:
            records.write(b"".join(number.to_bytes(4, "little") for number in range(1000)))
        shared_fd = os.open("records.bin", os.O_RDONLY)
    if how == "slow-start":
        time.sleep(10000)
    while True:
        try:
            train()
        except BaseException as error:
            if how != "catches-everything":
                raise
            print("caught", type(error), flush=True)
