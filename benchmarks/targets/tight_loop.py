"""A loop that does next to nothing, to see what watching it costs: prints microseconds a step."""

import sys
import time

import torch
from torch.utils.data import DataLoader, Dataset


class Nothing(Dataset):
    def __len__(self):
        return 4 * (int(sys.argv[1]) + 2000)

    def __getitem__(self, index):
        return 0


batches = int(sys.argv[1])
model = torch.nn.Linear(1, 1)
optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
model(torch.ones(1, 1)).sum().backward()
began = 0.0
for k, _ in enumerate(DataLoader(Nothing(), batch_size=4, collate_fn=list)):
    if k == 2000:
        began = time.perf_counter()
    optimizer.step()
print("US_PER_STEP", (time.perf_counter() - began) / (batches - 1) * 1e6, flush=True)
