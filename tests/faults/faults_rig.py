"""What the fault tests share: a short real run, what makes two runs equal, and figures for docs/reliability.md.

`make test` runs them in their short form, `make faults` in the long one, whose figures docs/reliability.md tells.
"""

import json
import os

from conftest import run

LONG = os.environ.get("FAULTS") == "long"

# 48 steps of 20 an epoch; reports, evaluations and checkpoints that seldom fall together; averaged weights, random
# layers and augmentation, so that every kind of state has to go on.
RUN = (
    f"model.name={'cifar_resnet20' if LONG else 'cifar_resnet8'}",
    "train.epochs=null",
    "train.steps=48",
    "train.batch_size=64",
    "train.log_every=3",
    "train.eval_every=8",
    "train.checkpoint_every=5",
    "train.ema_decay=0.9",
    "model.drop_path_rate=0.2",
)
FLAGS = [f"--set={assignment}" for assignment in RUN]


def train(folder, *flags, fault_at=None, signals=(), env=None, timeout=300):
    """Runs train.py in a process of its own; the common settings, then `flags`."""
    command = ["tests/faults/fault_at.py", fault_at] if fault_at else ["train.py"]
    return run(*command, f"--workdir={folder}", *FLAGS, *flags, signals=signals, env=env, timeout=timeout)


def differences(one, other):
    """Names of what differs between two finished runs, of everything that is not time."""
    found = []
    for name in ("metrics.jsonl", "weights/best.safetensors", "weights/last.safetensors"):
        if (one / name).read_bytes() != (other / name).read_bytes():
            found.append(name)
    newest = [max((run / "checkpoints").glob("step-*")) / "variables.safetensors" for run in (one, other)]
    if newest[0].read_bytes() != newest[1].read_bytes():
        found.append("the last checkpoint")
    results = [json.loads((run / "results.json").read_text()) for run in (one, other)]
    for each in results:
        del each["seconds"], each["images_per_second"]
    return found + (["results.json"] if results[0] != results[1] else [])
