"""An IterableDataset; argv: sharded | unsharded."""

import itertools
import sys
import time

import torch
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

sharded = sys.argv[1] == "sharded"


class Stream(IterableDataset):
    def __iter__(self):
        first, step = 0, 1
        if sharded:
            info = get_worker_info()
            if info is not None:
                first, step = info.id, info.num_workers
        for i in itertools.count(first, step):
            time.sleep(0.001)
            yield torch.tensor([float(i)])


model = torch.nn.Linear(1, 1)
opt = torch.optim.SGD(model.parameters(), 1e-9)
for x in DataLoader(Stream(), batch_size=8):
    opt.zero_grad()
    model(x).sum().backward()
    opt.step()
    time.sleep(0.002)
