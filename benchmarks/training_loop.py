"""What `fit` takes beside its training steps, and what a second replica takes: ResNet-20, 32x32 images.

    python benchmarks/training_loop.py [steps] [repeats] [batch]

First what `fit` does beside its steps and their batches: adding up metrics, looking for signals and divergence,
progress, metrics.jsonl and TensorBoard every 10 steps, a checkpoint every 20; by the clock within one run, from the end
of its step 3 to the end of its last. The thread that writes checkpoints takes time from the steps where cores are few:
its processor time is added whole, as if nothing ran beside it. (Runs of `fit` and runs of bare steps, in turn, differ
by more than the goal of 3 % on a busy machine, whichever is ahead.)

Then MirroredStrategy over two virtual CPU devices against one device, the same global batch; in turn in processes of
their own, since devices can be split only once. Both have one pool of intra-op threads, as many as there are cores,
which TensorFlow shares among virtual devices. A step on a CPU is done when its call returns: times need no
synchronization.
"""

import contextlib
import io
import os
import statistics
import subprocess
import sys
import tempfile
import time
from unittest import mock

WARM = 3  # steps that are skipped: tracing, first memory, filling of the pipeline


def load(steps, batch):
    from keras_resnet.config import Config
    from keras_resnet.task import load_task

    train = {"steps": steps, "batch_size": batch, "eval_every": steps, "checkpoint_every": 20, "log_every": 10}
    data = {"name": "synthetic", "image_size": 32, "classes": 10}
    return load_task(Config.model_validate({"model": {"name": "cifar_resnet20"}, "data": data, "train": train}))


def bare_steps(task, strategy):
    """A function that does the run's steps on a new pass through its data: () -> seconds of one."""
    from keras_resnet.data.pipeline import training_batches
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
    from keras_resnet.training.progress import ProgressReporter

    times, step_done = {}, ProgressReporter.step_done

    def timed(self, step):
        times[step] = time.perf_counter()
        step_done(self, step)

    ProgressReporter.step_done = timed
    try:
        with tempfile.TemporaryDirectory() as parent, contextlib.redirect_stdout(io.StringIO()):
            folder = RunFolder(os.path.join(parent, "run"))
            folder.claim(task.config, task.description)
            fit(task, strategy, folder)
    finally:
        ProgressReporter.step_done = step_done
    steps = task.config.train.total_steps
    return (times[steps] - times[WARM]) / (steps - WARM)


def beside_steps(task, strategy):
    """Of a new run, seconds {step: beside it}, of it all, and of processor time for writing checkpoints meanwhile."""
    from keras_resnet.runs.saver import Background
    from keras_resnet.training import fit

    make_train_step, training_batches, submit = fit.make_train_step, fit.training_batches, Background.submit
    nexts, steps, writes = [], [], []  # (began, ended) of the first two

    def timed(function, spans):
        def call(*args):
            began = time.perf_counter()
            result = function(*args)
            spans.append((began, time.perf_counter()))
            return result

        return call

    def timed_batches(*args):
        return iter(timed(training_batches(*args).__next__, nexts), object())

    def timed_submit(self, write):
        def timed_write():
            began = time.thread_time()
            write()
            writes.append((time.perf_counter(), time.thread_time() - began))

        submit(self, timed_write)

    with (
        mock.patch.object(fit, "make_train_step", lambda *args: timed(make_train_step(*args), steps)),
        mock.patch.object(fit, "training_batches", timed_batches),
        mock.patch.object(Background, "submit", timed_submit),
    ):
        fit_seconds(task, strategy)
    began, ended = steps[WARM - 1][1], steps[-1][1]
    beside = {
        step: nexts[step][0] - steps[step - 1][1] + steps[step][0] - nexts[step][1] for step in range(WARM, len(steps))
    }
    return beside, ended - began, sum(seconds for when, seconds in writes if began < when < ended)


def loop(steps, repeats, batch):
    import tensorflow as tf

    task = load(steps, batch)
    report_every, save_every = task.config.train.log_every, task.config.train.checkpoint_every
    for _ in range(repeats):
        beside, whole, writing = beside_steps(task, tf.distribute.OneDeviceStrategy("CPU:0"))
        waited, bare = sum(beside.values()), whole - sum(beside.values())
        print(f"fit beside its steps: {100 * waited / bare:.2f} % of their time", end="")
        print(f", with all of the writing thread's {100 * (waited + writing) / bare:.2f} %")
        kinds = {"a step": [], "a report": [], "a report and a checkpoint": []}
        for step, seconds in beside.items():
            kinds[list(kinds)[(step % report_every == 0) + (step % save_every == 0)]].append(1000 * seconds)
        shown = (f"{name} {statistics.median(times):.2f}" for name, times in kinds.items() if times)
        print(f"  ms: {', '.join(shown)}; a step itself {1000 * bare / len(beside):.0f}", flush=True)


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
    """[(seconds of base, of other)]; each goes first every second time, so that a drifting machine favors neither."""
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
