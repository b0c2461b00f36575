"""Synthetic data through ``tf.data`` into a small Keras model: batched, prefetched, nothing left to gain.

pip install 'gputune[tensorflow]'
gputune profile examples/tf_synthetic.py
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np

import tensorflow as tf


def main() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(20_000, 64)).astype("float32")
    labels = rng.integers(0, 10, 20_000)
    data = tf.data.Dataset.from_tensor_slices((features, labels)).batch(32).prefetch(tf.data.AUTOTUNE)
    model = keras.Sequential(
        [
            keras.layers.Dense(1024, activation="relu"),
            keras.layers.Dense(1024, activation="relu"),
            keras.layers.Dense(10),
        ]
    )
    model.compile(
        optimizer="adam",
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    model.fit(data, epochs=50, verbose=2)


if __name__ == "__main__":
    main()
