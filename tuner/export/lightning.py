"""Arguments for the DataLoader of a LightningDataModule. Lightning itself has no loader settings."""

from __future__ import annotations

from gputune import config
from gputune.export import runtime_api
from gputune.record import Run


def render(run: Run) -> str:
    """Return the body of ``train_dataloader`` with the recommended arguments."""
    loader = config.from_run(run).loaders[0]
    arguments = "".join(
        f"            {name}={value!r},\n" for name, value in loader.settings.dataloader_kwargs().items()
    )
    batch = run.loader.batch_size if run.loader and run.loader.batch_size else "self.batch_size"
    text = (
        "from lightning.pytorch import LightningDataModule\n"
        "from torch.utils.data import DataLoader\n\n\n"
        "class DataModule(LightningDataModule):\n"
        '    """Lightning takes loader settings from here; the Trainer has none."""\n\n'
        "    def train_dataloader(self):\n"
        f"        return DataLoader(\n            self.train_set,\n            batch_size={batch},\n"
        f"            shuffle=True,  # keep yours\n{arguments}        )\n"
    )
    return runtime_api.appended(text, loader.settings)
