import sys
import time

import torch
from torch.utils.data import DataLoader, Dataset


class Remote(Dataset):
    def __init__(self, n, delay):
        self.n, self.delay = n, delay

    def __len__(self):
        return self.n

    def __getitem__(self, i):
        time.sleep(self.delay)
        return torch.full((8,), float(i)), i % 2


delay = float(sys.argv[1]) if len(sys.argv) > 1 else 0.002
step = float(sys.argv[2]) if len(sys.argv) > 2 else 0.01
workers = int(sys.argv[3]) if len(sys.argv) > 3 else 0
model = torch.nn.Linear(8, 2)
opt = torch.optim.SGD(model.parameters(), 0.01)
loader = DataLoader(Remote(200_000, delay), batch_size=16, shuffle=True, num_workers=workers)
for epoch in range(3):
    for x, y in loader:
        loss = torch.nn.functional.cross_entropy(model(x), y)
        opt.zero_grad()
        loss.backward()
        opt.step()
        time.sleep(step)
