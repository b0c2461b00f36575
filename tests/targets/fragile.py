"""A dataset that works with some numbers of workers only. Prints every sample the loop receives.

2 workers: one is killed as the out-of-memory killer would; 3: they hang; 4: they raise; 5: they exit politely.
"""

import os
import signal
import time

import torch
from torch.utils.data import DataLoader, Dataset, get_worker_info


class Fragile(Dataset):
    def __len__(self):
        return 2400

    def __getitem__(self, i):
        info = get_worker_info()
        time.sleep(0.0002)
        if info is not None and i % 40 == 17:
            if info.num_workers == 2:
                os.kill(os.getpid(), signal.SIGKILL)
            if info.num_workers == 3:
                time.sleep(1000)
            if info.num_workers == 4:
                raise RuntimeError("this library does not survive fork")
            if info.num_workers == 5:
                os._exit(0)
        return torch.tensor([float(i)]), i


model = torch.nn.Linear(1, 1)
opt = torch.optim.SGD(model.parameters(), 1e-9)
seen = []
for x, i in DataLoader(Fragile(), batch_size=8):
    seen.extend(i.tolist())
    opt.zero_grad()
    model(x).sum().backward()
    opt.step()
print("SEEN", ",".join(map(str, seen)))
