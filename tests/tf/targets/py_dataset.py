"""Keras fit over a PyDataset that loads each batch in Python, with one worker, as is the default."""

import argparse
import os
import signal
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

parser = argparse.ArgumentParser()
parser.add_argument("--workers", type=int, default=1)
parser.add_argument("--processes", action="store_true")
parser.add_argument("--queue", type=int, default=10)
parser.add_argument("--step-ms", type=float, default=10.0)
parser.add_argument("--seconds", type=float, default=0.0, help="print samples/s after so long and end")
parser.add_argument("--kill-worker", action="store_true", help="a batch that kills the process it is loaded in")
args = parser.parse_args()
TRAINER = os.getpid()


class Remote(keras.utils.PyDataset):
    """Batches from storage that makes everyone wait."""

    def __len__(self):
        return 4096

    def __getitem__(self, index):
        if args.kill_worker and os.getpid() != TRAINER:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(0.04)
        rng = np.random.default_rng(index)
        return rng.normal(size=(16, 256)).astype("float32"), rng.integers(0, 10, 16)


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


data = Remote(workers=args.workers, use_multiprocessing=args.processes, max_queue_size=args.queue)
model = keras.Sequential([keras.layers.Dense(16, activation="relu"), keras.layers.Dense(10)])
model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
model.fit(data, epochs=100, verbose=0, callbacks=[Accelerator()])
