"""A plain loop that is validated on snapshots of its weights while it goes on training.

python examples/async_validation.py
"""

from __future__ import annotations

import torch

from gputune.probes.runtime import AsyncValidator


def main() -> None:
    """Train for 300 steps and validate every 50."""
    torch.manual_seed(0)
    model = torch.nn.Linear(16, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    held_out = torch.rand(512, 16)

    def evaluate(snapshot: torch.nn.Module) -> dict[str, float]:
        return {"loss": (snapshot(held_out) - held_out.mean(1, keepdim=True)).square().mean().item()}

    with AsyncValidator(evaluate, model, monitor="loss") as validator:
        for step in range(300):
            inputs = torch.rand(32, 16)
            loss = (model(inputs) - inputs.mean(1, keepdim=True)).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if step % 50 == 49:
                validator.trigger(step)  # between two steps: the snapshot is never half-updated
            for result in validator.results():
                print(f"step {result.step}: {dict(result.metrics)}")
        validator.wait()
        for result in validator.results():
            print(f"step {result.step}: {dict(result.metrics)}")
        if validator.best is not None:
            print(f"best at step {validator.best.step}")


if __name__ == "__main__":
    main()
