"""Ultralytics' own training on images made here; reading one takes a while."""

import os
import tempfile
import time
from pathlib import Path

os.environ["YOLO_CONFIG_DIR"] = tempfile.mkdtemp()
os.environ["YOLO_OFFLINE"] = "true"
import cpu_torchvision  # noqa: F401
from common import SAMPLE_S, STEP_S, WORKERS, N, Seen, tell
from PIL import Image
from ultralytics.data.dataset import YOLODataset
from ultralytics.models.yolo.detect import DetectionTrainer

seen = Seen()
IMAGES = min(N, 400)


def make_images():
    folder = Path(tempfile.mkdtemp())
    (folder / "images").mkdir()
    (folder / "labels").mkdir()
    for i in range(IMAGES):
        Image.new("RGB", (32, 32), (i % 256, 0, 0)).save(folder / "images" / f"{i:05d}.jpg")
        (folder / "labels" / f"{i:05d}.txt").write_text("0 0.5 0.5 0.5 0.5\n")
    (folder / "data.yaml").write_text(f"path: {folder}\ntrain: images\nval: images\nnames: [thing]\n")
    return folder


class SlowlyRead(YOLODataset):
    def __getitem__(self, index):
        # A network disk: the step of the smallest model takes long on a CPU, so reading takes longer.
        time.sleep(10 * SAMPLE_S)
        return super().__getitem__(index)


class Trainer(DetectionTrainer):
    def build_dataset(self, img_path, mode="train", batch=None):
        data = super().build_dataset(img_path, mode, batch)
        data.__class__ = SlowlyRead
        return data

    # Validation needs an operator of torchvision that is compiled for CUDA only.
    def validate(self):
        return {}, 0.0

    def final_eval(self):
        pass

    def preprocess_batch(self, batch):
        seen.extend(int(Path(file).stem) for file in batch["im_file"])
        time.sleep(12 * STEP_S)
        return super().preprocess_batch(batch)


Trainer(
    overrides={
        "model": "yolo11n.yaml",
        "data": str(make_images() / "data.yaml"),
        "epochs": max(1, N // IMAGES),
        "imgsz": 32,
        "batch": 8,
        "workers": WORKERS,
        "val": False,
        "plots": False,
        "save": False,
        "device": "cpu",
        "amp": False,
        "mosaic": 0.0,
        "verbose": False,
        "project": tempfile.mkdtemp(),
    }
).train()  # HERE ultralytics
tell(seen)
