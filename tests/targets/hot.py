"""One slow transform among fast ones, and work on the training thread; argv: workers, start method."""

import logging
import sys
import time

import torch
from torch.utils.data import DataLoader, Dataset


def burn(cpu_s):
    end = time.thread_time() + cpu_s
    while time.thread_time() < end:
        sum(range(100))


def slow_transform(x):
    burn(0.002)
    return x


class Data(Dataset):
    def __len__(self):
        return 100_000

    def __getitem__(self, index):
        return slow_transform(torch.zeros(8) + 1)


def prepare(batch):
    burn(0.03)
    return batch


class Slow(logging.Handler):
    def emit(self, record):
        time.sleep(0.005)


def main():
    workers, method = int(sys.argv[1]), sys.argv[2]
    logger = logging.getLogger("train")
    logger.addHandler(Slow())
    logger.propagate = False
    model = torch.nn.Sequential(*(torch.nn.Linear(8, 8) for _ in range(20)))
    optimizer = torch.optim.SGD(model.parameters(), 1e-3)
    loader = DataLoader(Data(), batch_size=4, num_workers=workers, multiprocessing_context=method if workers else None)
    for batch in loader:
        model(prepare(batch)).sum().backward()
        optimizer.step()
        logger.warning("a step")


if __name__ == "__main__":
    main()
