"""Scripts that go wrong; argv: how."""

import sys
import time

import torch
from torch.utils.data import DataLoader, Dataset

how = sys.argv[1]
if how == "raises-early":
    raise KeyError("no such thing")
if how == "no-loader":
    print("nothing to load")
    sys.exit(0)


class Numbers(Dataset):
    def __len__(self):
        return 0 if how == "empty" else 64 if how == "short" else 100000

    def __getitem__(self, i):
        if how == "raises-in-getitem" and i == 400:
            raise ValueError("sample 400 is broken")
        return torch.tensor([float(i)])


model = torch.nn.Linear(1, 1)
opt = torch.optim.SGD(model.parameters(), 1e-9)
for k, x in enumerate(DataLoader(Numbers(), batch_size=8)):
    if how == "hangs" and k == 1:
        time.sleep(10000)
    if how == "raises-in-loop" and k == 60:
        raise ZeroDivisionError("the loop is broken")
    if how == "exit-status" and k == 60:
        sys.exit(7)
    opt.zero_grad()
    model(x).sum().backward()
    opt.step()
