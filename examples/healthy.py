"""A script whose loader keeps up: the data is in memory and the step is long. gputune has nothing to sell here.

gputune profile examples/healthy.py
"""

import time

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class AcceleratorStandIn(nn.Module):
    """Keeps the training loop waiting, with the CPU free, as an accelerator would."""

    def __init__(self, step_s: float) -> None:
        super().__init__()
        self.step_s = step_s

    def forward(self, outputs: torch.Tensor) -> torch.Tensor:
        time.sleep(self.step_s)
        return outputs


def main() -> None:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cpu":
        torch.set_num_threads(1)
        print("no GPU here: each step also sleeps 20 ms, as an accelerator would keep the loop waiting")
    data = TensorDataset(torch.randn(20_000, 64), torch.randint(0, 10, (20_000,)))
    model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10)).to(device)
    if device == "cpu":
        model = nn.Sequential(model, AcceleratorStandIn(0.020))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    for _ in range(50):
        for features, labels in DataLoader(data, batch_size=16, shuffle=True):
            loss = nn.functional.cross_entropy(model(features.to(device)), labels.to(device))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


if __name__ == "__main__":
    main()
