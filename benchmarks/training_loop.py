"""What `fit` takes beside its training steps, and what a second replica takes: ResNet-20, 32x32 images.

    python benchmarks/training_loop.py [steps] [repeats] [batch]

First the whole loop, with its logging and a checkpoint in the middle, against bare calls of `make_train_step` on the
same data pipeline; in turn in one process, without the first steps, the evaluation at the end and what follows it. Then
MirroredStrategy over two virtual CPU devices against one device, the same global batch; in turn in processes of their
own, since devices can be split only once. Both have one pool of intra-op threads, as many as there are cores, which
TensorFlow shares among virtual devices. A step on a CPU is done when its call returns: times need no synchronization.
"""

import contextlib
import io
import os
import statistics
import subprocess
import sys
import tempfile
import time

WARM = 3  # steps that are left out: tracing, first memory, filling of the pipeline


def load(steps, batch):
    from keras_resnet.config import Config
    from keras_resnet.task import load_task

    train = {"steps": steps, "batch_size": batch, "eval_every": steps, "checkpoint_every": max(steps // 2, WARM + 1)}
    data = {"name": "synthetic", "image_size": 32, "classes": 10}
    return load_task(Config.model_validate({"model": {"name": "cifar_resnet20"}, "data": data, "train": train}))


def bare_steps(task, strategy):
    """A function that does the run's steps on a new pass through its data: () -> seconds of one."""
    from keras_resnet.data.batches import training_batches
    from keras_resnet.training.optimizer import build_optimizer
    from keras_resnet.training.steps import make_train_step

    with strategy.scope():
        model = task.build_model()
        optimizer = build_optimizer(task.config.train, model.trainable_variables)
    step = make_train_step(task, model, optimizer, strategy)

    def seconds():
        for done, batch in enumerate(training_batches(task, strategy, 0), 1):
            step(batch)
            if done == WARM:
                began = time.perf_counter()
        return (time.perf_counter() - began) / (done - WARM)

    return seconds


def fit_seconds(task, strategy):
    """Seconds of a step of a new run, between the ends of its step WARM and of its last one."""
    from keras_resnet.runs.folder import RunFolder
    from keras_resnet.training.fit import fit
    from keras_resnet.training.progress import Reporter

    times, step_done = {}, Reporter.step_done

    def timed(self, step):
        times[step] = time.perf_counter()
        step_done(self, step)

    Reporter.step_done = timed
    try:
        with tempfile.TemporaryDirectory() as parent, contextlib.redirect_stdout(io.StringIO()):
            folder = RunFolder(os.path.join(parent, "run"))
            folder.claim(task.config)
            fit(task, strategy, folder)
    finally:
        Reporter.step_done = step_done
    steps = task.config.train.total_steps
    return (times[steps] - times[WARM]) / (steps - WARM)


def loop(steps, repeats, batch):
    import tensorflow as tf

    task, strategy = load(steps, batch), tf.distribute.OneDeviceStrategy("CPU:0")
    bare = bare_steps(task, strategy)
    bare()
    pairs = in_turn(repeats, bare, lambda: fit_seconds(task, strategy))
    report("fit", "bare steps", pairs, batch)


def one(replicas, steps, batch):
    """Prints the seconds of a step over so many virtual devices."""
    import tensorflow as tf

    from keras_resnet.training.strategy import make_strategy

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    tf.config.threading.set_intra_op_parallelism_threads(cores)
    strategy = make_strategy("mirrored", replicas) if replicas > 1 else tf.distribute.OneDeviceStrategy("CPU:0")
    print(bare_steps(load(steps, batch), strategy)())


def replicas(steps, repeats, batch):
    def seconds(count):
        command = [sys.executable, __file__, "--one", str(count), str(steps), str(batch)]
        return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[-1])

    pairs = in_turn(repeats, lambda: seconds(1), lambda: seconds(2))
    report("two virtual replicas", "one device", pairs, batch)


def in_turn(repeats, base, other):
    """[(seconds of base, of other)]; each goes first every second time, so that a drifting machine favours neither."""
    pairs = []
    for i in range(repeats):
        pairs.append((base(), other()) if i % 2 == 0 else (other(), base())[::-1])
    return pairs


def report(name, against, pairs, batch):
    rates = [batch / statistics.median(column) for column in zip(*pairs, strict=True)]
    more = [100 * (theirs / base - 1) for base, theirs in pairs]
    print(f"{name}: {rates[1]:.0f} images/s   {against}: {rates[0]:.0f} images/s")
    print(f"  difference in time {statistics.median(more):+.1f} % ({min(more):+.1f} to {max(more):+.1f})", flush=True)


def main(steps=100, repeats=5, batch=128):
    print(f"ResNet-20, 32x32, batch {batch}, {steps} steps, {repeats} pairs", flush=True)
    loop(steps, repeats, batch)
    replicas(steps, repeats, batch)


def start(main, one):
    """Runs the whole measurement, or the one that a child process was started for; the arguments are numbers."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if sys.argv[1:2] == ["--one"]:
        one(*map(int, sys.argv[2:]))
    else:
        main(*map(int, sys.argv[1:]))


if __name__ == "__main__":
    start(main, one)
