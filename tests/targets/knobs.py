"""Two knobs of the script's own: one read in every step, one read once at start-up."""

import time

import torch
from torch.utils.data import DataLoader, Dataset

import gputune

START_MS = gputune.knob("start_ms", (16, 2))


class Numbers(Dataset):
    def __len__(self):
        return 100_000

    def __getitem__(self, i):
        return torch.tensor([float(i)])


if __name__ == "__main__":
    torch.set_num_threads(1)
    model = torch.nn.Linear(1, 1)
    opt = torch.optim.SGD(model.parameters(), 1e-9)
    for x in DataLoader(Numbers(), batch_size=4):
        opt.zero_grad()
        model(x).sum().backward()
        opt.step()
        time.sleep((START_MS + gputune.knob("step_ms", (20, 4, 2))) / 1000)
