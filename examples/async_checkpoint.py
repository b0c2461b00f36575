"""A plain loop that saves every few steps without waiting for the disk.

python examples/async_checkpoint.py [folder]
"""

from __future__ import annotations

import sys

import torch

from gputune.probes.runtime import AsyncCheckpointer


def main() -> None:
    """Train for 200 steps and save every 50."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(64, 256), torch.nn.ReLU(), torch.nn.Linear(256, 1))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    folder = sys.argv[1] if len(sys.argv) > 1 else "checkpoints"
    with AsyncCheckpointer(folder, keep_last=2, keep_best=1) as checkpointer:
        for step in range(200):
            inputs = torch.rand(32, 64)
            loss = (model(inputs) - inputs.sum(1, keepdim=True)).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if step % 50 == 49:
                state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": step}
                checkpointer.save(state, step=step, metric=loss.item())  # returns once the state is copied
        checkpointer.wait()
        best, latest = checkpointer.best(), checkpointer.latest()
    if best is not None and latest is not None:
        print(f"best   {best.path}  loss {best.metric:.4f}\nlatest {latest.path}")


if __name__ == "__main__":
    main()
