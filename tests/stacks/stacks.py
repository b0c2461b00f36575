"""The stacks that are tested, and how each is started."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import shutil
import sys
from pathlib import Path
from typing import NamedTuple

TARGETS = Path(__file__).parent / "targets"


class Stack(NamedTuple):
    """One way to write a training script."""

    title: str
    script: str
    shape: str
    library: str = "torch"
    mark: str = "HERE"
    """Comment on the user's line that leads to the loader."""
    streamed: bool = False
    """The dataset is a stream: a swap starts it again, so samples are not compared."""
    other_shuffle: bool = False
    """With workers from the start, torch draws the seed of the shuffle at another moment: same samples, other order."""
    role: str = "train"
    untuned: str = ""
    """Why nothing is recommended for it, whatever would be gained."""

    @property
    def id(self) -> str:
        """A name for tests."""
        return f"{self.script[:-3]}-{self.shape}"

    @property
    def version(self) -> str:
        """What is installed."""
        names = {"torch_geometric": "torch-geometric"}
        return importlib.metadata.version(names.get(self.library, self.library))

    def command(self, samples: int = 800, workers: int = 0) -> list[str]:
        """Return the words after the interpreter."""
        return [str(TARGETS / self.script), self.shape, str(samples), str(workers)]

    def why_not(self) -> str:
        """Return why the stack cannot be run here, or an empty string."""
        if importlib.util.find_spec(self.library) is None:
            return f"{self.library} is not installed: make stacks"
        if self.shape == "compiled" and shutil.which("g++") is None:
            return "torch.compile needs a C++ compiler: apt-get install g++"
        return ""

    def line(self) -> int:
        """Return the number of the line that a comment in the target marks."""
        before = (TARGETS / self.script).read_text().partition(f"# {self.mark}\n")[0]
        return before.count("\n") + 1


def _plain(title: str, shape: str, **more: object) -> Stack:
    return Stack(title, "plain_loops.py", shape, **more)  # type: ignore[arg-type]


def _other(title: str, shape: str, library: str = "torch", **more: object) -> Stack:
    return Stack(title, "other_loaders.py", shape, library, f"HERE {shape}", **more)  # type: ignore[arg-type]


STACKS = (
    _plain("plain loop", "plain"),
    _plain("loader re-created every epoch", "recreated"),
    _plain("`torch.compile`d step", "compiled"),
    _plain("AMP with `GradScaler`", "amp"),
    _plain("LBFGS closure", "lbfgs"),
    _plain("GAN, two optimisers", "gan"),
    _plain("gradient accumulation", "accumulation"),
    _plain("evaluation script, no optimiser step", "evaluation", role="inference"),
    _plain("two loaders zipped", "zipped", other_shuffle=True),
    Stack("Lightning `Trainer`", "lightning_fit.py", "plain", "lightning"),
    Stack("Lightning `Trainer` with validation", "lightning_fit.py", "validation", "lightning"),
    Stack("`LightningDataModule`", "lightning_fit.py", "module", "lightning"),
    Stack("Fabric", "lightning_fit.py", "fabric", "lightning"),
    Stack("Hugging Face `Trainer`", "huggingface.py", "trainer", "transformers", "HERE trainer"),
    Stack("Accelerate", "huggingface.py", "accelerate", "accelerate", "HERE accelerate"),
    _other("torchdata `StatefulDataLoader`", "stateful", "torchdata", other_shuffle=True),
    _other("PyG `DataLoader`", "pyg", "torch_geometric"),
    _other("PyG `NodeLoader`", "pyg_nodes", "torch_geometric"),
    _other("timm `create_loader`", "timm", "timm"),
    _other("MONAI `CacheDataset`", "monai", "monai"),
    _other("fastai `DataLoader`", "fastai", "fastai", untuned="left alone: its workers shard by its own means"),
    Stack("Ultralytics detection training", "ultralytics_yolo.py", "train", "ultralytics", "HERE ultralytics"),
    _other("WebDataset", "webdataset", "webdataset", streamed=True),
    _other("`IterableDataset` that shards by worker", "sharding", streamed=True),
)
PYTHON = [sys.executable, "-W", "ignore"]
