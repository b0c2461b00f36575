"""Hugging Face's Trainer, or Accelerate in a plain loop; argv[1]: trainer or accelerate."""

import tempfile

import torch
from common import WORKERS, Numbers, Seen, make_model, shape, tell
from torch.utils.data import DataLoader

seen = Seen()


class Rows(Numbers):
    def __getitem__(self, i):
        return {"x": super().__getitem__(i)}


class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = make_model()

    def forward(self, x):
        seen.extend(x.flatten().tolist())
        return {"loss": self.inner(x).mean()}


def with_trainer():
    from transformers import Trainer, TrainingArguments

    arguments = TrainingArguments(
        output_dir=tempfile.mkdtemp(), per_device_train_batch_size=8, num_train_epochs=1, report_to=[], use_cpu=True,
        save_strategy="no", logging_strategy="no", disable_tqdm=True, remove_unused_columns=False, dataloader_num_workers=WORKERS,
    )  # fmt: skip
    Trainer(Model(), arguments, train_dataset=Rows()).train()  # HERE trainer


def with_accelerate():
    from accelerate import Accelerator

    accelerator = Accelerator(cpu=True)
    model = make_model()
    loader = DataLoader(Numbers(), batch_size=8, shuffle=True, num_workers=WORKERS)  # HERE accelerate
    model, optimizer, loader = accelerator.prepare(model, torch.optim.SGD(model.parameters(), 1e-9), loader)
    for x in loader:
        seen.extend(x.flatten().tolist())
        optimizer.zero_grad()
        accelerator.backward(model(x).mean())
        optimizer.step()


with_trainer() if shape == "trainer" else with_accelerate()
tell(seen)
