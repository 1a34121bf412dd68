"""Build, trace, first step, step time and memory of the CIFAR ResNets against depth; the first step of compile and fit.

    python benchmarks/depth.py [batch] [side] [depth ...]

Every depth in a process of its own; times count from the start of that process's work, imports left out.
"""

import json
import os
import resource
import statistics
import subprocess
import sys
import time

DEPTHS = (20, 56, 110, 1202)


def measure(depth, batch, side):
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow as tf

    from keras_resnet.config import Config
    from keras_resnet.task import load_task
    from keras_resnet.training.optimizer import build_optimizer
    from keras_resnet.training.steps import make_train_step

    config = {"model": {"name": f"cifar_resnet{depth}"}, "data": {"image_size": side}}
    task = load_task(Config.model_validate(config | {"train": {"steps": 9, "batch_size": batch}}))
    began = time.perf_counter()
    model = task.build_model()
    built = time.perf_counter()
    optimizer = build_optimizer(task.config.train, model.trainable_variables)
    step = make_train_step(task, model, optimizer, tf.distribute.get_strategy())
    images, targets = tf.random.uniform((batch, side, side, 1), 0, 255), tf.one_hot(tf.zeros((batch,), tf.int32), 10)
    examples = (images, targets), tf.ones((batch,))
    step.get_concrete_function(examples)
    traced = time.perf_counter()
    step(examples)
    first = time.perf_counter()
    times = []
    for _ in range(5):
        start = time.perf_counter()
        float(step(examples)["loss"])
        times.append(time.perf_counter() - start)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    print(json.dumps([built - began, traced - built, first - began, statistics.median(times), memory / 1e9]))


def measure_fit(depth, batch, side):
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import keras
    import tensorflow as tf

    import keras_resnet

    began = time.perf_counter()
    model = keras_resnet.CIFARResNet(depth, input_shape=(side, side, 1))
    model.compile(keras_resnet.SGD(0.1, weight_decay=1e-4), "sparse_categorical_crossentropy")
    images, labels = tf.random.uniform((batch, side, side, 1), 0, 255), tf.zeros((batch,), tf.int32)
    ended = []
    told = keras.callbacks.LambdaCallback(on_train_batch_end=lambda step, logs: ended.append(time.perf_counter()))
    model.fit(images, labels, batch_size=batch, verbose=0, callbacks=[told])
    print(ended[0] - began)


def run(*arguments):
    """What a process of its own prints last."""
    command = [sys.executable, __file__, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[-1]


def main(batch=8, side=32, *depths):
    headings = f"{'layers':>6}  {'build s':>8}  {'trace s':>8}  {'first step s':>12}  {'step ms':>8}  {'GB':>5}"
    headings += f"  {'fit: first step s':>17}"
    print(f"batch {batch}, {side}x{side}", headings, sep="\n")
    for depth in depths or DEPTHS:
        build, trace, first, step, memory = json.loads(run("--one", depth, batch, side))
        fit = float(run("--fit", depth, batch, side))
        row = f"{depth:>6}  {build:>8.1f}  {trace:>8.1f}  {first:>12.1f}  {1000 * step:>8.0f}  {memory:>5.1f}"
        print(f"{row}  {fit:>17.1f}", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        measure(*map(int, sys.argv[2:]))
    elif sys.argv[1:2] == ["--fit"]:
        measure_fit(*map(int, sys.argv[2:]))
    else:
        main(*map(int, sys.argv[1:]))
