"""What oneDNN's kernels gain on this processor, job by job: the measurements that commands choose by.

    python benchmarks/onednn.py [ROUNDS] [JOB...]

Every job runs in processes of its own, in turn with TF_ENABLE_ONEDNN_OPTS=0 and =1, ROUNDS times each; printed are the
medians of milliseconds and of the ratio, round by round. Jobs: train and infer (a `tf.function` of the Keras model, as
`evaluate` and `predict` run it), each as network:batch.
"""

import os
import statistics
import subprocess
import sys
import time

from keras_resnet.processor import describe

JOBS = (
    "train:digits_resnet20:64",
    "train:cifar_resnet20:128",
    "train:resnet18:16",
    "train:resnet50:16",
    "infer:cifar_resnet20:128",
    "infer:resnet18:1",
    "infer:resnet50:1",
    "infer:resnet50:8",
    "infer:resnet50:32",
)
SECONDS = 8  # for each measurement


def measure(job):
    """Milliseconds of a call of the job, in this process."""
    import tensorflow as tf

    kind, name, batch = job.split(":")
    task, strategy = _task(name, int(batch))
    call = _training_step(task, strategy) if kind == "train" else _inference(task, int(batch), tf)
    for _ in range(3):
        call()
    times = []
    end = time.perf_counter() + SECONDS
    while len(times) < 5 or time.perf_counter() < end:
        began = time.perf_counter()
        call()
        times.append(time.perf_counter() - began)
    return 1000 * statistics.median(times)


def _task(name, batch):
    from keras_resnet.config import Config
    from keras_resnet.task import load_task
    from keras_resnet.training.strategy import make_strategy

    strategy = make_strategy("one_device")
    data = {"name": "synthetic", "image_size": 224 if name.startswith("resnet") else 32}
    if name.startswith("digits"):
        name, data = "cifar_resnet20", {"name": "digits"}
    train = {"steps": 10**6, "batch_size": batch, "learning_rate": 0.001}
    return load_task(Config.model_validate({"model": {"name": name}, "data": data, "train": train})), strategy


def _training_step(task, strategy):
    from keras_resnet.data.pipeline import training_batches
    from keras_resnet.training.optimizer import build_optimizer
    from keras_resnet.training.steps import make_train_step

    batch = next(training_batches(task, strategy, 0))
    model = task.build_model()
    optimizer = build_optimizer(task.config.train, model.trainable_variables)
    step = make_train_step(task, model, optimizer, strategy, False)
    return lambda: float(step(batch)["loss"])


def _inference(task, batch, tf):
    model = task.build_model()
    graph = tf.function(lambda images: model(images, training=False), autograph=False)
    images = tf.random.uniform((batch, *task.image_shape), 0, 255, seed=0)
    return lambda: graph(images).numpy()


def main(rounds="3", *jobs):
    print(describe())
    for job in jobs or JOBS:
        times = {"0": [], "1": []}
        for _ in range(int(rounds)):
            for value, column in times.items():
                environment = os.environ | {"TF_ENABLE_ONEDNN_OPTS": value, "TF_CPP_MIN_LOG_LEVEL": "3"}
                command = [sys.executable, __file__, "--measure", job]
                column.append(float(subprocess.check_output(command, env=environment, text=True).splitlines()[-1]))
        ratios = [off / on for off, on in zip(times["0"], times["1"], strict=True)]
        off, on = (statistics.median(column) for column in times.values())
        ratio = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        print(f"  {job:<28} off {off:8.1f} ms   on {on:8.1f} ms   {ratio} times as fast with it", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        print(measure(sys.argv[2]))
    else:
        main(*sys.argv[1:])
