"""Data whose samples name themselves, and a model that hardly computes."""

import time

import torch
from torch.utils.data import Dataset

N = 1600


class Numbers(Dataset):
    def __init__(self, n=N):
        self.n = n

    def __len__(self):
        return self.n

    def __getitem__(self, i):
        time.sleep(0.0005)
        return torch.tensor([float(i)])


def make_model():
    torch.manual_seed(0)
    return torch.nn.Linear(1, 1)


def tell(seen):
    print("SEEN", ",".join(str(int(value)) for value in seen), flush=True)
