"""A pipeline of transforms from an installed library; argv: folder of the library, start method."""

import sys

sys.path.insert(0, sys.argv[1])

import torch
from shapevision import Compose, Flip, Resize
from torch.utils.data import DataLoader, Dataset


class Pictures(Dataset):
    def __init__(self):
        self.transform = Compose([Flip(), Resize(), Flip()])

    def __len__(self):
        return 100_000

    def __getitem__(self, index):
        return self.transform(torch.zeros(8))


def main():
    model = torch.nn.Linear(8, 1)
    optimizer = torch.optim.SGD(model.parameters(), 1e-3)
    for batch in DataLoader(Pictures(), batch_size=4, num_workers=1, multiprocessing_context=sys.argv[2]):
        model(batch).sum().backward()
        optimizer.step()


if __name__ == "__main__":
    main()
