"""Build, trace, first step, step time and memory of the CIFAR ResNets against depth.

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
    images, labels = tf.random.uniform((batch, side, side, 1), 0, 255), tf.zeros((batch,), tf.int32)
    step.get_concrete_function((images, labels))
    traced = time.perf_counter()
    step((images, labels))
    first = time.perf_counter()
    times = []
    for _ in range(5):
        start = time.perf_counter()
        float(step((images, labels))["loss"])
        times.append(time.perf_counter() - start)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    print(json.dumps([built - began, traced - built, first - began, statistics.median(times), memory / 1e9]))


def main(batch=8, side=32, *depths):
    headings = f"{'layers':>6}  {'build s':>8}  {'trace s':>8}  {'first step s':>12}  {'step ms':>8}  {'GB':>5}"
    print(f"batch {batch}, {side}x{side}", headings, sep="\n")
    for depth in depths or DEPTHS:
        command = [sys.executable, __file__, "--one", str(depth), str(batch), str(side)]
        process = subprocess.run(command, capture_output=True, text=True, check=True)
        build, trace, first, step, memory = json.loads(process.stdout.splitlines()[-1])
        print(
            f"{depth:>6}  {build:>8.1f}  {trace:>8.1f}  {first:>12.1f}  {1000 * step:>8.0f}  {memory:>5.1f}", flush=True
        )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        measure(*map(int, sys.argv[2:]))
    else:
        main(*map(int, sys.argv[1:]))
