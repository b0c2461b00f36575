"""Prints every sample the loop receives; argv: shape of the loop, number of samples, initial workers."""

import itertools
import sys
import time

import torch
from torch.utils.data import BatchSampler, DataLoader, Dataset, RandomSampler

shape, n, workers = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])


class Numbers(Dataset):
    def __len__(self):
        return n

    def __getitem__(self, i):
        time.sleep(0.0005)
        if shape == "dict":
            return {"x": torch.tensor([float(i)]), "meta": {"index": i}}
        if shape == "custom":
            return Item(i)
        return torch.tensor([float(i)]), i


class Item:
    def __init__(self, i):
        self.x, self.i = torch.tensor([float(i)]), i


class Batch:
    def __init__(self, items):
        self.x = torch.stack([item.x for item in items])
        self.indices = [item.i for item in items]


def collate(items):
    return Batch(items)


model = torch.nn.Linear(1, 1)
opt = torch.optim.SGD(model.parameters(), 1e-9)
opt2 = torch.optim.Adam(model.parameters(), 1e-9)
seen = []


def step(batch, k=0):
    if isinstance(batch, Batch):
        x, i = batch.x, batch.indices
    elif isinstance(batch, dict):
        x, i = batch["x"], batch["meta"]["index"].tolist()
    else:
        x, i = batch[0], batch[1].tolist()
    seen.extend(i)
    model(x).sum().backward()
    if shape == "accumulate" and k % 4 != 3:
        return
    opt.step()
    if shape == "gan":
        opt2.step()
    opt.zero_grad()


torch.manual_seed(0)
options = {"num_workers": workers}
if shape == "custom":
    options["collate_fn"] = collate
if shape == "batch_sampler":
    loader = DataLoader(Numbers(), batch_sampler=BatchSampler(RandomSampler(Numbers()), 8, False), **options)
else:
    loader = DataLoader(
        Numbers(),
        batch_size=8,
        shuffle=shape != "sequential",
        persistent_workers=shape == "persistent",
        **options,
    )
epochs = 2 if shape in ("epochs", "persistent") else 1

for epoch in range(epochs):
    if shape == "next":
        it = iter(loader)
        while True:
            try:
                batch = next(it)
            except StopIteration:
                break
            step(batch)
    elif shape == "islice":
        for batch in itertools.islice(loader, len(loader)):
            step(batch)
    else:
        for k, batch in enumerate(loader):
            step(batch, k)
print("SEEN", ",".join(map(str, seen)))
