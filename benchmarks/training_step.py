"""Training step of ResNet-50 at 224 px: this package's, keras.applications' under `fit`, Torch's where it is installed.

    python benchmarks/training_step.py [batch] [repeats] [float32|mixed_bfloat16]

Images per second of steps on one fixed batch, without an input pipeline. XLA is used where each side uses it by
default: on one GPU, on no CPU. keras.applications.ResNet50 is compiled with SGD with momentum; its times come from a
callback, the first two steps of every `fit` left out. Torch (`torch_resnet50.py`) runs in a process of its own, which
waits while the others are measured; all have as many threads as there are cores. Measured in turn, ratios repeat by
repeat.
"""

import importlib.util
import os
import statistics
import subprocess
import sys
import time

os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import tensorflow as tf

from keras_resnet.config import Config
from keras_resnet.data.pipeline import training_batches
from keras_resnet.processor import describe
from keras_resnet.task import load_task
from keras_resnet.training.optimizer import build_optimizer
from keras_resnet.training.steps import make_train_step
from keras_resnet.training.strategy import compiles_by_default, make_strategy

STEPS, LEFT_OUT, RATE = 3, 2, 0.001


def load(batch, precision):
    train = {"steps": 10**6, "batch_size": batch, "precision": precision, "learning_rate": RATE}
    data = {"name": "synthetic", "image_size": 224}
    return load_task(Config.model_validate({"model": {"name": "resnet50"}, "data": data, "train": train}))


def ours(task, strategy, batch):
    """As `fit` builds and calls it."""
    with strategy.scope():
        model = task.build_model()
        optimizer = build_optimizer(task.config.train, model.trainable_variables)
    step = make_train_step(task, model, optimizer, strategy, compiles_by_default(strategy))
    for _ in range(LEFT_OUT):
        float(step(batch)["loss"])

    def seconds():
        began = time.perf_counter()
        for _ in range(STEPS):
            sums = step(batch)
        float(sums["loss"])
        return (time.perf_counter() - began) / STEPS

    return seconds


class Clock(keras.callbacks.Callback):
    """Seconds of a step of `fit`, without the first."""

    def on_train_batch_end(self, batch, logs=None):
        if batch + 1 in (LEFT_OUT, LEFT_OUT + STEPS):
            float(logs["loss"])
            if batch + 1 == LEFT_OUT:
                self.began = time.perf_counter()
            else:
                self.seconds = (time.perf_counter() - self.began) / STEPS


def keras_fit(images, labels):
    """keras.applications.ResNet50 under Keras's own loop."""
    model = keras.applications.ResNet50(weights=None, classifier_activation=None)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(RATE, momentum=0.9), loss)
    dataset = tf.data.Dataset.from_tensors((images, labels)).repeat()

    def seconds():
        clock = Clock()
        model.fit(dataset, steps_per_epoch=LEFT_OUT + STEPS, shuffle=False, verbose=0, callbacks=[clock])
        return clock.seconds

    return seconds


def torch_process(batch, precision, kind):
    """(seconds, the process), or None where it cannot run."""
    script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "torch_resnet50.py")
    command = [sys.executable, script, str(batch), precision, kind]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    if process.stdout.readline() != "ready\n":
        print(f"torch, {kind}: does not run here, left out")
        return None

    def seconds():
        process.stdin.write(f"{STEPS}\n")
        process.stdin.flush()
        return float(process.stdout.readline())

    return seconds, process


def measure(batch, repeats, precision, strategy):
    keras.config.set_dtype_policy(precision)
    task = load(batch, precision)
    fixed = next(training_batches(task, strategy, 0))
    (images, targets), _ = fixed
    labels = tf.argmax(targets, -1)
    sides = {
        "keras_resnet": ours(task, strategy, fixed),
        "keras.applications, fit": keras_fit(images, labels),
    }
    processes = []
    for kind in ("eager", "compiled") if importlib.util.find_spec("torch") else ():
        if started := torch_process(batch, precision, kind):
            sides[f"torch, {kind}"] = started[0]
            processes.append(started[1])
    for seconds in sides.values():
        seconds()
    times = {name: [] for name in sides}
    for _ in range(repeats):
        for name, seconds in sides.items():
            times[name].append(seconds())
    for process in processes:
        process.communicate()
    report(times, batch)


def report(times, batch):
    first = times["keras_resnet"]
    for name, column in times.items():
        ratios = [theirs / ours for ours, theirs in zip(first, column, strict=True)]
        line = f"  {name:<24} {batch / statistics.median(column):7.2f} images/s"
        if column is not first:
            line += f"   keras_resnet is {statistics.median(ratios):.2f} times as fast"
            line += f" ({min(ratios):.2f} to {max(ratios):.2f})"
        print(line, flush=True)


def main(batch=16, repeats=5, *precisions):
    strategy = make_strategy("one_device")
    print(describe())
    if not importlib.util.find_spec("torch"):
        print("torch: not installed, left out")
    for precision in precisions or ("float32", "mixed_bfloat16"):
        print(f"{precision}, batch {batch}, 224 px", flush=True)
        measure(int(batch), int(repeats), precision, strategy)


if __name__ == "__main__":
    main(*sys.argv[1:])
