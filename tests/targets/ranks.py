"""Data-parallel training on gloo. argv: how it is started (launched, spawned), batches an epoch, epochs, what rank 1
is like (same, slow, or broken: its workers fail)."""

import os
import socket
import sys
import time
import zlib

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, Dataset, get_worker_info
from torch.utils.data.distributed import DistributedSampler

how, batches, epochs, other = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
BATCH = 4


class Slow(Dataset):
    def __init__(self, rank, world):
        self.rank, self.n = rank, batches * BATCH * world

    def __len__(self):
        return self.n

    def __getitem__(self, i):
        if self.rank == 1 and other == "broken" and get_worker_info():
            raise ValueError("no worker can read this")
        time.sleep(0.012 if self.rank == 1 and other == "slow" else 0.002)
        return torch.tensor([float(i)])


def train(rank, world):
    dist.init_process_group("gloo", rank=rank, world_size=world)
    torch.set_num_threads(1)
    model = DistributedDataParallel(torch.nn.Linear(1, 1))
    optimizer = torch.optim.SGD(model.parameters(), 1e-9)
    data = Slow(rank, world)
    sampler = DistributedSampler(data, shuffle=True)
    loader = DataLoader(data, batch_size=BATCH, sampler=sampler)  # HERE
    seen, workers = [], []
    for epoch in range(epochs):
        sampler.set_epoch(epoch)
        for x in loader:
            seen.extend(int(value) for value in x.flatten())
            if not workers or workers[-1][1] != loader.num_workers:
                workers.append((len(seen) // BATCH - 1, loader.num_workers))
            optimizer.zero_grad()
            model(x).mean().backward()
            optimizer.step()
    # One write: the ranks share a pipe.
    os.write(1, f"RANK {rank} {len(seen)} {zlib.crc32(repr(seen).encode())} {workers}\n".encode())
    dist.destroy_process_group()


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return str(server.getsockname()[1])


if __name__ == "__main__":
    if how == "spawned":
        os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=free_port())
        torch.multiprocessing.spawn(train, args=(2,), nprocs=2)
    else:
        train(int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"]))
