"""Train a small CNN on JPEG files that are really read, decoded, resized and augmented.

The files (about 60 MB) are drawn once into a cache folder. Without a GPU each step also sleeps, as an accelerator
would keep the loop waiting, and says so; the loader's work is real either way.

    python examples/image_folder.py --epochs 1
    gputune profile examples/image_folder.py
"""

import argparse
import os
import random
import time
from pathlib import Path

import numpy
import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset

CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "gputune-examples" / "jpeg-v1"


def draw_images(folder: Path, count: int, side: int = 512) -> list[Path]:
    """Write ``count`` photograph-like JPEG files once and return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{index:05d}.jpg" for index in range(count)]
    missing = [path for path in paths if not path.exists()]
    if missing:
        print(f"drawing {len(missing)} JPEG files into {folder}")
    for path in missing:
        generator = numpy.random.default_rng(int(path.stem))
        coarse = generator.integers(0, 255, (16, 16, 3), dtype=numpy.uint8)
        image = Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC)
        noise = generator.normal(0, 12, (side, side, 3))
        pixels = numpy.clip(numpy.asarray(image) + noise, 0, 255).astype(numpy.uint8)
        partial = path.with_suffix(".part")
        Image.fromarray(pixels).save(partial, "JPEG", quality=90)
        partial.rename(path)
    return paths


class Photos(Dataset):
    """JPEG files, decoded, randomly cropped and flipped, as float tensors."""

    def __init__(self, paths: list[Path], epoch_length: int, size: int = 128) -> None:
        self.paths, self.epoch_length, self.size = paths, epoch_length, size

    def __len__(self) -> int:
        return self.epoch_length

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        with Image.open(self.paths[index % len(self.paths)]) as file:
            image = self.augment(file.convert("RGB"))
        pixels = torch.from_numpy(numpy.asarray(image).copy()).permute(2, 0, 1)
        return pixels.float().div_(255).sub_(0.45).div_(0.25), index % 10

    def augment(self, image: Image.Image) -> Image.Image:
        side = random.randint(int(0.6 * image.width), image.width)
        left, top = random.randint(0, image.width - side), random.randint(0, image.height - side)
        image = image.resize((self.size, self.size), Image.Resampling.BILINEAR, (left, top, left + side, top + side))
        return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if random.random() < 0.5 else image


def build_model() -> nn.Module:
    """Return a small CNN."""
    return nn.Sequential(
        nn.Conv2d(3, 8, 7, stride=8),
        nn.ReLU(),
        nn.Conv2d(8, 16, 3, stride=2),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(64, 10),
    )


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
    parser.add_argument("--images", type=int, default=600, help="JPEG files to draw")
    parser.add_argument("--samples", type=int, default=60_000, help="samples an epoch (files are used again)")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--step-ms", type=float, default=60.0, help="length of the stand-in step without a GPU")
    args = parser.parse_args()

    device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cpu":
        torch.set_num_threads(1)
        print(f"no GPU here: each step also sleeps {args.step_ms:g} ms, as an accelerator would keep the loop waiting")
    photos = Photos(draw_images(CACHE, args.images), args.samples)
    loader = DataLoader(photos, batch_size=args.batch_size, shuffle=True, num_workers=0)
    model = build_model().to(device)
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
