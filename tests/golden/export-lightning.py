from lightning.pytorch import LightningDataModule
from torch.utils.data import DataLoader


class DataModule(LightningDataModule):
    """Lightning takes loader settings from here; the Trainer has none."""

    def train_dataloader(self):
        return DataLoader(
            self.train_set,
            batch_size=32,
            shuffle=True,  # keep yours
            num_workers=3,
            pin_memory=True,
            prefetch_factor=2,
            persistent_workers=False,
        )
