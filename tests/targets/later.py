"""A slow dataset in a plain loop; which torch it runs on is the test's business."""

import time

import torch
from torch.utils.data import DataLoader


class Slow(torch.utils.data.Dataset):
    def __len__(self):
        return 100_000

    def __getitem__(self, i):
        time.sleep(0.002)
        return torch.tensor([float(i)])


model = torch.nn.Linear(1, 1)
optimizer = torch.optim.SGD(model.parameters(), 1e-9)
for x in DataLoader(Slow(), batch_size=8):
    model(x).mean().backward()
    optimizer.step()
