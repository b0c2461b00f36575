"""Data whose samples name themselves, and a model whose step takes a given time.

argv: the shape of the script, how many samples, and how many workers its author chose. With workers the step takes so
long that they keep up: such a script has nothing to gain.
"""

import sys
import time

import torch
from torch.utils.data import Dataset

shape = sys.argv[1] if len(sys.argv) > 1 else ""
N = int(sys.argv[2]) if len(sys.argv) > 2 else 800
WORKERS = int(sys.argv[3]) if len(sys.argv) > 3 else 0
SAMPLE_S = 0.002
STEP_S = 0.03 if WORKERS else 0.001


class Numbers(Dataset):
    def __init__(self, n=N):
        self.n = n

    def __len__(self):
        return self.n

    def __getitem__(self, i):
        time.sleep(SAMPLE_S)
        return torch.tensor([float(i)])


class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = torch.nn.Linear(1, 1)

    def forward(self, x):
        time.sleep(STEP_S)
        return self.inner(x)


class Seen(list):
    """The samples a model saw, and when."""

    def __init__(self):
        self.at_s = []

    def extend(self, values):
        self.at_s.append(time.monotonic())
        super().extend(values)


def make_model():
    torch.manual_seed(0)
    return Model()


def tell(seen):
    # Without the first batches, which compile, open files and start workers.
    print("SECONDS", seen.at_s[-1] - seen.at_s[3], flush=True)
    print("SEEN", ",".join(str(int(value)) for value in seen), flush=True)
