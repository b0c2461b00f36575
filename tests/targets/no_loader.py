"""Trains without any loader; argv: number of steps."""

import sys
import time

import torch


def load_by_hand():
    time.sleep(0.02)
    return torch.ones(4, 8)


model = torch.nn.Linear(8, 1)
optimizer = torch.optim.SGD(model.parameters(), 1e-3)
for _ in range(int(sys.argv[1])):
    model(load_by_hand()).sum().backward()
    optimizer.step()
