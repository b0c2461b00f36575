"""Datasets that bring other samples under more workers, or only seem to; argv: which. Prints what the loop got."""

import os
import sys
import time

import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, get_worker_info

which = sys.argv[1]
COUNT = 2400
PATH = "records.bin"
hidden = []


class Records(Dataset):
    """``shared``: one open file for all, out of sight of any inspection of the dataset; its offset is shared by fork."""

    def __len__(self):
        return COUNT

    def __getitem__(self, i):
        time.sleep(0.0005)
        if which == "shared":
            os.lseek(hidden[0], 4 * i, os.SEEK_SET)
            time.sleep(0.0005)
            return torch.tensor([float(int.from_bytes(os.read(hidden[0], 4), "little"))]), i
        if which == "random":
            return torch.tensor([float(i)]) + torch.rand(1), i
        if which == "threads":  # sums of floats differ in their last bits with the number of threads
            return torch.rand(100_000, generator=torch.Generator().manual_seed(i)).sum()[None], i
        if which == "once":
            if i in hidden:
                raise KeyError(f"sample {i} was given out already")
            hidden.append(i)
        return torch.tensor([float(i)]), i


class Stream(IterableDataset):
    """Asks which worker it is in, and shards wrongly (``misread``) or rightly (``sharded``)."""

    def __iter__(self):
        info = get_worker_info()
        first, step = (info.id, info.num_workers) if info and which == "sharded" else (0, 1)
        for i in range(first, COUNT * 100, step):
            time.sleep(0.0005)
            yield torch.tensor([float(i)]), i


with open(PATH, "wb") as file:
    file.write(b"".join(i.to_bytes(4, "little") for i in range(COUNT)))
if which == "shared":
    hidden.append(os.open(PATH, os.O_RDONLY))

model = torch.nn.Linear(1, 1)
optimizer = torch.optim.SGD(model.parameters(), 1e-9)
dataset = Stream() if which in ("misread", "sharded") else Records()
seen = []
for x, i in DataLoader(dataset, batch_size=8):
    seen.extend(i.tolist())
    optimizer.zero_grad()
    model(x).sum().backward()
    optimizer.step()
print("SEEN", ",".join(map(str, seen)))
