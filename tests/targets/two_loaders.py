"""Train and validation loader, a checkpoint each epoch; argv: path of the checkpoint."""

import sys
import time

import torch
from torch.utils.data import DataLoader, TensorDataset

train = TensorDataset(torch.randn(640, 4), torch.randint(0, 2, (640,)))
valid = TensorDataset(torch.randn(160, 4), torch.randint(0, 2, (160,)))
train_loader = DataLoader(train, batch_size=16, shuffle=True)
valid_loader = DataLoader(valid, batch_size=16)
model = torch.nn.Linear(4, 2)
opt = torch.optim.SGD(model.parameters(), 0.01)
for epoch in range(500):
    model.train()
    for x, y in train_loader:
        opt.zero_grad()
        torch.nn.functional.cross_entropy(model(x), y).backward()
        opt.step()
        time.sleep(0.005)
    model.eval()
    with torch.no_grad():
        for x, y in valid_loader:
            model(x)
            time.sleep(0.01)
    torch.save(model.state_dict(), sys.argv[1])
