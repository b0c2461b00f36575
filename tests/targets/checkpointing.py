"""Trains with a step that sleeps as an accelerator would, and saves its state often.

argv: folder, batches; and "lose" to take the folder away behind every save, unseen by Python.
"""

import ctypes
import os
import sys
import time

import torch
from torch.utils.data import DataLoader, Dataset

folder, batches = sys.argv[1], int(sys.argv[2])
EVERY = 12
if "lose" in sys.argv:
    folder = os.path.join(folder, "own")
    os.makedirs(folder)


class Numbers(Dataset):
    def __len__(self):
        return 8 * batches

    def __getitem__(self, index):
        return torch.tensor([float(index)])


torch.set_num_threads(1)
torch.manual_seed(0)
model = torch.nn.Linear(1, 1)
weights = torch.rand(4, 1 << 20)
optimizer = torch.optim.SGD(model.parameters(), 1e-6)
start_s = time.perf_counter()
for number, batch in enumerate(DataLoader(Numbers(), batch_size=8), 1):
    model(batch).sum().backward()
    optimizer.step()
    optimizer.zero_grad()
    weights[0].add_(1.0)
    time.sleep(0.06)
    if number % EVERY == 0:
        state = {"model": model.state_dict(), "weights": weights, "number": number}
        torch.save(state, os.path.join(folder, f"last-{number % (2 * EVERY)}.pt"))
        if "lose" in sys.argv:
            ctypes.CDLL(None).rename(folder.encode(), f"{folder}-{number}".encode())
            os.mkdir(folder)
seconds = time.perf_counter() - start_s
torch.save({"weights": weights, "tied": weights[0]}, os.path.join(folder, "final.pt"))
print(f"TRAINED {seconds:.3f}")
