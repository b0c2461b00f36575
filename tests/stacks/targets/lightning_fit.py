"""Lightning's Trainer; argv[1]: plain, validation, module (a LightningDataModule) or fabric."""

import logging

import lightning
import torch
from common import WORKERS, Numbers, Seen, make_model, shape, tell
from torch.utils.data import DataLoader

logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
seen = Seen()


def make_loader():
    return DataLoader(Numbers(), batch_size=8, shuffle=True, num_workers=WORKERS)  # HERE


class Module(lightning.LightningModule):
    def __init__(self):
        super().__init__()
        self.inner = make_model()

    def training_step(self, x, index):
        seen.extend(x.flatten().tolist())
        return self.inner(x).mean()

    def validation_step(self, x, index):
        self.log("loss", self.inner(x).mean())

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 1e-9)


class Data(lightning.LightningDataModule):
    def train_dataloader(self):
        return make_loader()


def fabric():
    fabric = lightning.Fabric(accelerator="cpu", devices=1)
    model = make_model()
    model, optimizer = fabric.setup(model, torch.optim.SGD(model.parameters(), 1e-9))
    for x in fabric.setup_dataloaders(make_loader()):
        seen.extend(x.flatten().tolist())
        optimizer.zero_grad()
        fabric.backward(model(x).mean())
        optimizer.step()


if shape == "fabric":
    fabric()
else:
    module = Module()
    trainer = lightning.Trainer(
        max_epochs=1, accelerator="cpu", logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, val_check_interval=50 if shape == "validation" else None,
    )  # fmt: skip
    if shape == "module":
        trainer.fit(module, datamodule=Data())
    else:
        trainer.fit(module, make_loader(), DataLoader(Numbers(64), 8) if shape == "validation" else None)
tell(seen)
