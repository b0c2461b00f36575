"""Data-parallel training on gloo. argv: how it is started (launched, spawned), milliseconds a sample, batches an
epoch, epochs, rank that is slower, milliseconds it takes more."""

import os
import sys
import time

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, Dataset
from torch.utils.data.distributed import DistributedSampler

how, sample_ms, batches, epochs, slow_rank, more_ms = sys.argv[1], *map(float, sys.argv[2:7])
BATCH = 4


class Slow(Dataset):
    def __init__(self, world):
        self.n = int(batches) * BATCH * world

    def __len__(self):
        return self.n

    def __getitem__(self, i):
        more = more_ms if dist.is_initialized() and dist.get_rank() == slow_rank else 0
        time.sleep((sample_ms + more) / 1000)
        return torch.tensor([float(i)])


def train(rank, world):
    dist.init_process_group("gloo", rank=rank, world_size=world)
    torch.set_num_threads(1)
    model = DistributedDataParallel(torch.nn.Linear(1, 1))
    optimizer = torch.optim.SGD(model.parameters(), 1e-9)
    data = Slow(world)
    sampler = DistributedSampler(data, shuffle=True)
    loader = DataLoader(data, batch_size=BATCH, sampler=sampler)  # HERE
    seen = []
    for epoch in range(int(epochs)):
        sampler.set_epoch(epoch)
        for x in loader:
            seen.extend(int(value) for value in x.flatten())
            optimizer.zero_grad()
            model(x).mean().backward()
            time.sleep(0.002)
            optimizer.step()
    with open(f"seen-{rank}.txt", "w") as file:
        file.write(",".join(map(str, seen)))
    print(f"rank {rank} saw {len(seen)}", flush=True)
    dist.destroy_process_group()


if __name__ == "__main__":
    if how == "spawned":
        os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=sys.argv[7] if len(sys.argv) > 7 else "29511")
        torch.multiprocessing.spawn(train, args=(2,), nprocs=2)
    else:
        train(int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"]))
