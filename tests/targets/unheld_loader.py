"""Makes a loader with persistent workers for each epoch and holds only its iterator."""

import torch
from torch.utils.data import DataLoader

model = torch.nn.Linear(1, 1)
optimizer = torch.optim.SGD(model.parameters(), 1e-3)
for _ in range(200):
    for batch in DataLoader(torch.zeros(40, 1), batch_size=2, num_workers=1, persistent_workers=True):
        model(batch).sum().backward()
        optimizer.step()
