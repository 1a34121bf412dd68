"""Training steps of ResNet-50 in bfloat16 over 1, 2, 4 and 8 GPUs, as many as there are: images per second, efficiency.

    python benchmarks/scaling.py [--batch=256] [--steps=20] [--repeats=3] [--jit] [--virtual=0]

MirroredStrategy over the first k GPUs, the same number of images on each, one fixed batch without an input pipeline.
Efficiency is the rate over k times the rate of one GPU. Each number of GPUs in a process of its own, in turn;
efficiency repeat by repeat. XLA is off unless --jit, for one GPU as for several. --virtual=2 tries the script anywhere:
ResNet-20 in float32 over virtual CPU devices, which share the cores, so that its efficiency means nothing.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time

WARM = 3


def measure(replicas, options):
    """Prints the images per second of so many devices."""
    import keras
    import tensorflow as tf

    from keras_resnet.config import Config
    from keras_resnet.data.pipeline import training_batches
    from keras_resnet.task import load_task
    from keras_resnet.training.optimizer import build_optimizer
    from keras_resnet.training.steps import make_train_step
    from keras_resnet.training.strategy import make_strategy

    if options.virtual:
        strategy = make_strategy("mirrored", replicas)
        config = {"model": {"name": "cifar_resnet20"}, "data": {"name": "synthetic", "image_size": 32, "classes": 10}}
    else:
        for gpu in tf.config.list_physical_devices("GPU"):
            tf.config.experimental.set_memory_growth(gpu, True)
        strategy = tf.distribute.MirroredStrategy([f"GPU:{i}" for i in range(replicas)])
        config = {"model": {"name": "resnet50"}, "data": {"name": "synthetic", "image_size": 224}}
    batch_size = options.batch * replicas
    train = {
        "steps": 10**6,
        "batch_size": batch_size,
        "learning_rate": 0.001,
        "precision": "float32" if options.virtual else "mixed_bfloat16",
    }
    task = load_task(Config.model_validate(config | {"train": train}))
    keras.config.set_dtype_policy(train["precision"])
    with strategy.scope():
        model = task.build_model()
        optimizer = build_optimizer(task.config.train, model.trainable_variables)
    step = make_train_step(task, model, optimizer, strategy, options.jit)
    batch = next(training_batches(task, strategy, 0))
    for _ in range(WARM):
        float(step(batch)["loss"])
    began = time.perf_counter()
    for _ in range(options.steps):
        sums = step(batch)
    float(sums["loss"])
    print(options.steps * batch_size / (time.perf_counter() - began))


def devices(options):
    """How many there are to measure."""
    if options.virtual:
        return options.virtual
    import tensorflow as tf

    gpus = len(tf.config.list_physical_devices("GPU"))
    if not gpus:
        sys.exit("TensorFlow sees no GPU; --virtual=2 tries the script on the CPU")
    return gpus


def main(options):
    counts = [count for count in (1, 2, 4, 8) if count <= devices(options)]

    def rate(count):
        command = [sys.executable, __file__, *sys.argv[1:], f"--one={count}"]
        process = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        return float(process.stdout.splitlines()[-1])

    rows = [[rate(count) for count in counts] for _ in range(options.repeats)]
    kind = "virtual devices, ResNet-20, float32" if options.virtual else "GPUs, ResNet-50, bfloat16"
    print(f"{options.batch} images on each of k {kind}, XLA {'on' if options.jit else 'off'}")
    for count, rates in zip(counts, zip(*rows, strict=True), strict=True):
        efficiency = [100 * of_all / (count * row[0]) for of_all, row in zip(rates, rows, strict=True)]
        print(
            f"{count:>3}  {statistics.median(rates):9.0f} images/s   efficiency {statistics.median(efficiency):.0f} %"
            f" ({min(efficiency):.0f} to {max(efficiency):.0f})"
        )


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    parser = argparse.ArgumentParser()
    for name, default in {"batch": 256, "steps": 20, "repeats": 3, "virtual": 0, "one": 0}.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--jit", action="store_true")
    chosen = parser.parse_args()
    if chosen.one:
        measure(chosen.one, chosen)
    else:
        main(chosen)
