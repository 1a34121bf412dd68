"""Trains short runs with `fit` and measures their networks at every checkpoint."""

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
    """Returns assignments of a run at a constant learning rate that keeps all checkpoints and stops on divergence."""
    return (
        *("train.epochs=null", f"train.steps={steps}", "train.warmup_steps=0", "train.warmup_learning_rate=null"),
        *("train.schedule=constant", "train.log_every=10", f"train.eval_every={steps}", "train.precise_bn_batches=0"),
        *(f"train.checkpoint_every={checkpoint_every}", f"train.keep_checkpoints={steps}"),
        *("recovery.on_divergence=stop", "recovery.max_loss_ratio=null", *changes),
    )


def images_and_labels(task, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns a run's first training inputs: (images (count, H, W, C), classes (count,)).

    They are fewer than `count` if the whole run uses fewer.
    """
    from keras_resnet.data.pipeline import Shard

    size = task.config.train.batch_size
    batches = itertools.islice(task.train_dataset(0, Shard(0, 1, size)), math.ceil(count / size))
    examples = [(images.numpy(), np.argmax(targets.numpy(), -1)) for (images, targets), _ in batches]
    images, labels = (np.concatenate(parts)[:count] for parts in zip(*examples, strict=True))
    return images, labels


def probe_run(experiment: Experiment, training: Training, probe: Callable[[Any], Any]) -> dict:
    """Starts or resumes a run, trains it to its end, and calls `probe(model)` with the weights of every checkpoint.

    The first checkpoint is of step 0, since a run saves before its first step.

    Returns:
        {"steps": of the checkpoints; "found": result of each probe; "loss": [steps, mean training loss since the
        previous of these steps]; "diverged": the step at which the loss was not finite, or None}.
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
        if step % (config.train.checkpoint_every or 1):  # saved when a signal ended a process
            continue
        assign_tensors(named_variables(model), network_arrays(read_checkpoint(path)), path)
        steps.append(step)
        found.append(probe(model))
    return {"steps": steps, "found": found, "loss": experiment.curve(training, "train/loss"), "diverged": diverged}
