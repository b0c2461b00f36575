"""Train a small Keras model on JPEG files that TensorFlow really reads, decodes, crops and resizes.

The files (about 60 MB) are drawn once into a cache folder, the one of ``image_folder.py``. The pipeline is written as
one writes it first: a ``map``, a ``batch``, and nothing that overlaps. Without a GPU each step also sleeps, as an
accelerator would keep the loop waiting, and says so.

    pip install 'gputune[tensorflow]' pillow
    gputune profile examples/tf_images.py
    gputune export --format tfdata
"""

import argparse
import os
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
from PIL import Image

import tensorflow as tf

CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "gputune-examples" / "jpeg-v1"
SIDE = 128


def draw_images(folder: Path, count: int, side: int = 512) -> list[str]:
    """Write ``count`` photograph-like JPEG files once and return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{index:05d}.jpg" for index in range(count)]
    missing = [path for path in paths if not path.exists()]
    if missing:
        print(f"drawing {len(missing)} JPEG files into {folder}")
    for path in missing:
        generator = np.random.default_rng(int(path.stem))
        coarse = generator.integers(0, 255, (16, 16, 3), dtype=np.uint8)
        image = Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC)
        noise = generator.normal(0, 12, (side, side, 3))
        pixels = np.clip(np.asarray(image) + noise, 0, 255).astype(np.uint8)
        partial = path.with_suffix(".part")
        Image.fromarray(pixels).save(partial, "JPEG", quality=90)
        partial.rename(path)
    return [str(path) for path in paths]


def load(path: tf.Tensor, label: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    image = tf.io.decode_jpeg(tf.io.read_file(path), channels=3)
    image = tf.image.random_flip_left_right(tf.image.random_crop(image, (400, 400, 3)))
    return tf.image.resize(image, (SIDE, SIDE)) / 255.0, label


class AcceleratorStandIn(keras.callbacks.Callback):
    """Keeps the training loop waiting, with the CPU free, as an accelerator would."""

    def __init__(self, step_s: float) -> None:
        super().__init__()
        self.step_s = step_s

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        time.sleep(self.step_s)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=50)
    parser.add_argument("--images", type=int, default=600, help="JPEG files to draw")
    parser.add_argument("--step-ms", type=float, default=15.0, help="length of the stand-in step without a GPU")
    args = parser.parse_args()

    paths = draw_images(CACHE, args.images)
    labels = [index % 10 for index in range(len(paths))]
    data = tf.data.Dataset.from_tensor_slices((paths, labels)).shuffle(len(paths)).map(load).batch(16)

    callbacks = []
    if not tf.config.list_physical_devices("GPU"):
        print(f"no GPU here: each step also sleeps {args.step_ms:g} ms, as an accelerator would keep the loop waiting")
        callbacks.append(AcceleratorStandIn(args.step_ms / 1000))
    model = keras.Sequential(
        [
            keras.layers.Conv2D(8, 7, strides=8, activation="relu"),
            keras.layers.Conv2D(16, 3, strides=2, activation="relu"),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(10),
        ]
    )
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    model.fit(data, epochs=args.epochs, callbacks=callbacks, verbose=2)


if __name__ == "__main__":
    main()
