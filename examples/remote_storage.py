"""Train on samples that live in remote storage: every read waits for the network.

The wait is simulated (a sleep a sample, as an object store's first byte takes); unpacking, normalising and
collating are real work. Without a GPU the training step is a stand-in that sleeps as an accelerator would keep the
loop busy, and says so.

    python examples/remote_storage.py --epochs 1
    gputune profile examples/remote_storage.py
"""

import argparse
import time
import zlib

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset


class RemoteRecords(Dataset):
    """Compressed records that take ``latency_s`` to arrive."""

    def __init__(self, length: int, latency_s: float) -> None:
        self.length, self.latency_s = length, latency_s
        generator = torch.Generator().manual_seed(0)
        self.blobs = [
            zlib.compress(torch.randn(3, 64, 64, generator=generator).to(torch.float16).numpy().tobytes(), level=1)
            for _ in range(32)
        ]

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        time.sleep(self.latency_s)
        raw = bytearray(zlib.decompress(self.blobs[index % len(self.blobs)]))
        image = torch.frombuffer(raw, dtype=torch.float16).reshape(3, 64, 64).float()
        return (image - image.mean()) / image.std(), index % 10


class Net(nn.Module):
    """A small convolutional classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 8, 5, stride=4), nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(128, 10)
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.layers(images)


class AcceleratorStandIn(nn.Module):
    """Keeps the training loop waiting, with the CPU free, as an accelerator would."""

    def __init__(self, step_s: float) -> None:
        super().__init__()
        self.step_s = step_s

    def forward(self, outputs: torch.Tensor) -> torch.Tensor:
        time.sleep(self.step_s)
        return outputs


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--samples", type=int, default=100_000)
    parser.add_argument("--latency-ms", type=float, default=5.0, help="how long a sample takes to arrive")
    parser.add_argument("--step-ms", type=float, default=20.0, help="length of the stand-in step without a GPU")
    args = parser.parse_args()

    device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cpu":
        torch.set_num_threads(1)
        print(f"no GPU here: each step also sleeps {args.step_ms:g} ms, as an accelerator would keep the loop waiting")
    data = RemoteRecords(args.samples, args.latency_ms / 1000)
    loader = DataLoader(data, batch_size=16, shuffle=True, num_workers=0)
    model = Net().to(device)
    if device == "cpu":
        model = nn.Sequential(model, AcceleratorStandIn(args.step_ms / 1000))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    for epoch in range(args.epochs):
        began = time.perf_counter()
        for images, labels in loader:
            loss = nn.functional.cross_entropy(model(images.to(device)), labels.to(device))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        print(f"epoch {epoch}: loss {loss.item():.3f}, {args.samples / (time.perf_counter() - began):.1f} samples/s")


if __name__ == "__main__":
    main()
