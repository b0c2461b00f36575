"""Keras fit over a badly written pipeline: JPEG files from slow storage, one after the other."""

import argparse
import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

import tensorflow as tf


def number(text):
    return tf.data.AUTOTUNE if text == "AUTOTUNE" else int(text)


parser = argparse.ArgumentParser()
parser.add_argument("--calls", type=number, default=None)
parser.add_argument("--prefetch", type=number, default=0)
parser.add_argument("--pool", type=int, default=0)
parser.add_argument("--step-ms", type=float, default=15.0)
parser.add_argument("--latency-ms", type=float, default=2.0, help="storage that makes each file wait")
parser.add_argument("--seconds", type=float, default=0.0, help="print samples/s after so long and end")
parser.add_argument("--validate", action="store_true")
parser.add_argument("--save", default="")
parser.add_argument("--epochs", type=int, default=100_000)
parser.add_argument("--samples", type=int, default=4096)
args = parser.parse_args()

rng = np.random.default_rng(0)
pictures = [tf.io.encode_jpeg(rng.integers(0, 255, (128, 128, 3), dtype=np.uint8)).numpy() for _ in range(16)]
encoded = tf.constant(pictures * (args.samples // 16))
labels = tf.constant(rng.integers(0, 10, len(encoded)))


def wait(value):
    time.sleep(args.latency_ms / 1000)
    return value


def decode(jpeg, label):
    if args.latency_ms:
        jpeg = tf.ensure_shape(tf.numpy_function(wait, [jpeg], tf.string), ())
    image = tf.image.resize(tf.io.decode_jpeg(jpeg, channels=3), (96, 96))
    return tf.image.random_flip_left_right(image) / 255.0, label


class Accelerator(keras.callbacks.Callback):
    """Keeps the loop waiting, with the CPU free, as an accelerator would; counts samples."""

    began, seen = 0.0, 0

    def on_train_batch_end(self, batch, logs=None):
        time.sleep(args.step_ms / 1000)
        self.seen += 1
        if self.seen == 20:
            self.began = time.perf_counter()
        elif args.seconds and self.began and time.perf_counter() - self.began > args.seconds:
            print(f"RATE {(self.seen - 20) * 16 / (time.perf_counter() - self.began):.2f}", flush=True)
            os._exit(0)


data = tf.data.Dataset.from_tensor_slices((encoded, labels)).shuffle(512, seed=1)
data = data.map(decode, num_parallel_calls=args.calls)
data = data.batch(16)
if args.prefetch:
    data = data.prefetch(args.prefetch)
if args.pool:
    options = tf.data.Options()
    options.threading.private_threadpool_size = args.pool
    data = data.with_options(options)
model = keras.Sequential(
    [
        keras.layers.Conv2D(4, 5, strides=4, activation="relu"),
        keras.layers.GlobalAveragePooling2D(),
        keras.layers.Dense(10),
    ]
)
model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
callbacks = [Accelerator()]
if args.save:
    callbacks += [keras.callbacks.ModelCheckpoint(args.save), keras.callbacks.CSVLogger(args.save + ".csv")]
model.fit(
    data,
    epochs=args.epochs,
    verbose=0,
    callbacks=callbacks,
    validation_data=data.take(4) if args.validate else None,
)
