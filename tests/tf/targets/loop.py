"""A custom training loop over files on slow storage, read one after the other."""

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
parser.add_argument("--step-ms", type=float, default=10.0)
parser.add_argument("--seconds", type=float, default=0.0, help="print samples/s after so long and end")
parser.add_argument("--epochs", type=int, default=100_000)
parser.add_argument("--length", type=int, default=4096)
parser.add_argument("--raises-in-parallel", action="store_true", help="a map function that cannot run beside itself")
parser.add_argument("--hangs-in-parallel", action="store_true")
parser.add_argument("--print-batches", action="store_true")
args = parser.parse_args()
running = 0


def read(index):
    """Wait for the storage; Python, as reading with a library of one's own is."""
    global running
    running += 1
    try:
        time.sleep(0.003)
        if running > 1 and args.raises_in_parallel:
            raise RuntimeError("not safe to run in parallel")
        while running > 1 and args.hangs_in_parallel:
            time.sleep(0.1)
    finally:
        running -= 1
    return np.full(32, index, np.float32)


def load(index):
    sample = tf.numpy_function(read, [index], tf.float32)
    return tf.ensure_shape(sample, (32,)), index % 10


def make_dataset(length):
    data = tf.data.Dataset.range(length).shuffle(256, seed=3)
    data = data.map(load, num_parallel_calls=args.calls)
    data = data.batch(16)
    if args.prefetch:
        data = data.prefetch(args.prefetch)
    if args.pool:
        options = tf.data.Options()
        options.threading.private_threadpool_size = args.pool
        data = data.with_options(options)
    return data


model = keras.Sequential([keras.layers.Dense(16, activation="relu"), keras.layers.Dense(10)])
optimizer = keras.optimizers.SGD(0.001)
loss_of = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


@tf.function
def train_step(features, labels):
    with tf.GradientTape() as tape:
        loss = loss_of(labels, model(features, training=True))
    variables = model.trainable_variables
    optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
    return loss


train, held_out = make_dataset(args.length), make_dataset(48)
seen, began = 0, 0.0
for epoch in range(args.epochs):
    for features, labels in train:
        train_step(features / args.length, labels)
        time.sleep(args.step_ms / 1000)
        seen += 1
        if args.print_batches:
            print("BATCH", epoch, *features[:, 0].numpy().astype(int), flush=True)
        if seen == 20:
            began = time.perf_counter()
        elif args.seconds and began and time.perf_counter() - began > args.seconds:
            print(f"RATE {(seen - 20) * 16 / (time.perf_counter() - began):.2f}", flush=True)
            os._exit(0)
    for features, labels in held_out:
        loss_of(labels, model(features / args.length))
