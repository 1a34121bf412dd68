"""What never losing a run costs.

    python benchmarks/checkpoints.py [steps] [repeats] [batch]

1. A run with a checkpoint every 20 steps and without, in turn; ResNet-20, 32x32. What the loop waits for is in
   `training_loop.py`; the thread that writes takes time from the steps where cores are few.
2. How long saving holds up the loop, beside copying the variables alone and beside writing at once: ResNet-50 with
   its momentum.
3. Steps with `train.deterministic` against steps without, in processes of their own.
"""

import contextlib
import io
import os
import statistics
import subprocess
import sys
import tempfile
import time

from training_loop import bare_steps, fit_seconds, in_turn, report, start

EVERY = 20


def load(steps, batch, every=EVERY, network="cifar_resnet20", size=32, deterministic=False):
    from keras_resnet.config import Config
    from keras_resnet.task import load_task

    train = {"steps": steps, "batch_size": batch, "eval_every": steps, "checkpoint_every": every, "log_every": 50}
    data = {"name": "synthetic", "image_size": size, "classes": 10}
    train["deterministic"] = deterministic
    return load_task(Config.model_validate({"model": {"name": network}, "data": data, "train": train}))


def stall(repeats):
    """(seconds that copying takes, that `save` takes, until everything is written), medians."""
    import keras

    from keras_resnet.runs.checkpoints import RunState
    from keras_resnet.runs.folder import RunFolder
    from keras_resnet.runs.saver import Saver
    from keras_resnet.training.optimizer import build_optimizer
    from keras_resnet.weights.native import to_tensors

    task = load(1, 1, network="resnet50", size=224)
    model = task.build_model()
    optimizer = build_optimizer(task.config.train, model.trainable_variables)
    rows = []
    with tempfile.TemporaryDirectory() as parent, contextlib.redirect_stdout(io.StringIO()):
        folder = RunFolder(os.path.join(parent, "run"))
        folder.claim(task.config, task.description)
        saver = Saver(task.config, model, optimizer, folder, True, print)
        variables = {str(i): v for i, v in enumerate([*model.variables, *optimizer.variables])}
        for i in range(repeats):
            optimizer.iterations.assign(i)
            began = time.perf_counter()
            to_tensors(variables)
            copied = time.perf_counter()
            saver.save(RunState(step=i))
            returned = time.perf_counter()
            saver.wait()
            rows.append((copied - began, returned - copied, time.perf_counter() - copied))
        saver.close()
    size = sum(keras.ops.size(v) * 4 for v in variables.values())
    return float(size), [statistics.median(column) for column in zip(*rows, strict=True)]


def one(deterministic, steps, batch):
    import tensorflow as tf

    task = load(steps, batch, deterministic=bool(deterministic))
    if deterministic:
        tf.config.experimental.enable_op_determinism()
    tf.keras.utils.set_random_seed(0)
    print(bare_steps(task, tf.distribute.OneDeviceStrategy("CPU:0"))())


def main(steps=100, repeats=5, batch=128):
    import tensorflow as tf

    strategy = tf.distribute.OneDeviceStrategy("CPU:0")
    print(f"ResNet-20, 32x32, batch {batch}, {steps} steps, {repeats} repeats", flush=True)
    pairs = in_turn(
        repeats,
        lambda: fit_seconds(load(steps, batch, every=10**6), strategy),
        lambda: fit_seconds(load(steps, batch), strategy),
    )
    report(f"a checkpoint every {EVERY} steps", "none", pairs, batch)
    size, (copy, save, written) = stall(3 * repeats)
    print(f"ResNet-50 with momentum, {size / 2**20:.0f} MiB, seconds: ", end="")
    print(f"copying {copy:.3f}, save() {save:.3f}, until all is on the disk {written:.3f}")

    def seconds(deterministic):
        command = [sys.executable, __file__, "--one", str(int(deterministic)), str(steps), str(batch)]
        return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[-1])

    pairs = in_turn(repeats, lambda: seconds(False), lambda: seconds(True))
    report("train.deterministic", "default", pairs, batch)


if __name__ == "__main__":
    start(main, one)
