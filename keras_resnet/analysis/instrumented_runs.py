"""Short runs through `fit` whose network is looked at again and again, at every checkpoint."""

import itertools
import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from keras_resnet.analysis.experiment import Experiment, Training
from keras_resnet.errors import DivergenceError
from keras_resnet.files import read


def short(steps: int, checkpoint_every: int, *changes: str) -> tuple[str, ...]:
    """Assignments of a run of `steps` at one rate that keeps its checkpoints and stops where it diverges."""
    return (
        *("train.epochs=null", f"train.steps={steps}", "train.warmup_steps=0", "train.warmup_learning_rate=null"),
        *("train.schedule=constant", "train.log_every=10", f"train.eval_every={steps}", "train.precise_bn_batches=0"),
        *(f"train.checkpoint_every={checkpoint_every}", f"train.keep_checkpoints={steps}"),
        *("recovery.on_divergence=stop", "recovery.max_loss_ratio=null", *changes),
    )


def images_and_labels(task, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The first images that the run learns from, as the network sees them: (images (count, H, W, C), classes (count,)).

    Fewer, where the whole run sees fewer.
    """
    from keras_resnet.data.pipeline import Shard

    size = task.config.train.batch_size
    batches = itertools.islice(task.train_dataset(0, Shard(0, 1, size)), math.ceil(count / size))
    examples = [(images.numpy(), np.argmax(targets.numpy(), -1)) for (images, targets), _ in batches]
    images, labels = (np.concatenate(parts)[:count] for parts in zip(*examples, strict=True))
    return images, labels


def probe_run(experiment: Experiment, training: Training, probe: Callable[[Any], Any]) -> dict:
    """Trains a run to its end, from wherever it stands, and calls `probe(model)` on what it was at every checkpoint.

    The first of these is of step 0: a run saves before its first step.

    Returns:
        {"steps": of the probes; "found": what each returned; "loss": [steps, mean training loss of the steps
        since the one before]; "diverged": the step at which the loss was no number, or None}.
    """
    from keras_resnet.analysis.worker import train
    from keras_resnet.runs.checkpoints import committed, network_arrays, read_checkpoint
    from keras_resnet.task import load_task
    from keras_resnet.weights.native import assign_tensors, named_variables

    folder, config, diverged = experiment.folder(training), experiment.config_of(training), None
    try:
        train(experiment, training)
    except DivergenceError:
        diverged = json.loads(read(folder.divergences))[-1]["step"]
    model = load_task(config).build_model()
    steps, found = [], []
    for step, path in sorted(committed(folder.checkpoints)):
        if step % (config.train.checkpoint_every or 1):  # a signal ended a process there
            continue
        assign_tensors(named_variables(model), network_arrays(read_checkpoint(path)), path)
        steps.append(step)
        found.append(probe(model))
    return {"steps": steps, "found": found, "loss": experiment.curve(training, "train/loss"), "diverged": diverged}
