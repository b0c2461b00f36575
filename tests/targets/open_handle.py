"""The dataset keeps an open file, which forked workers would share; argv: path of the file."""

import sys
import time

import torch
from torch.utils.data import DataLoader, Dataset

open(sys.argv[1], "wb").write(bytes(range(256)) * 64)


class Records(Dataset):
    def __init__(self, path):
        self.file = open(path, "rb")

    def __len__(self):
        return 16384

    def __getitem__(self, i):
        self.file.seek(i)
        time.sleep(0.001)
        return torch.tensor([float(self.file.read(1)[0])])


model = torch.nn.Linear(1, 1)
opt = torch.optim.SGD(model.parameters(), 1e-9)
for epoch in range(10):
    for x in DataLoader(Records(sys.argv[1]), batch_size=8):
        opt.zero_grad()
        model(x).sum().backward()
        opt.step()
