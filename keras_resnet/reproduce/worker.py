"""Provides the process that trains and measures for `runner`, one job after another, and what measurements share.

The process reads one job per line from stdin and answers each with a line {"error": null or text, "exit_code": number}
on stdout. All other output goes to the log file. When stdin ends, the process saves the current run and exits.

    python -m keras_resnet.reproduce.worker STUDY THREADS LOG
"""

import gc
import itertools
import json
import math
import os
import pkgutil
import queue
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np

from keras_resnet.errors import DivergenceError, Stopped, UserError
from keras_resnet.files import make_folder, read
from keras_resnet.reproduce.experiment import Experiment, Job, Measurement, Training
from keras_resnet.runs.folder import write_text


def main() -> None:
    """Runs jobs until stdin ends."""
    experiment, threads, log = sys.argv[1:]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # outside of `fit`; exiting this way releases locks
    answers = _apart(log)
    jobs: queue.Queue = queue.Queue()
    threading.Thread(target=_read, args=(jobs,), daemon=True).start()
    _set_up(int(threads))
    while (line := jobs.get()) is not None:
        print(json.dumps(_answer(from_json(experiment), from_json(line))), file=answers, flush=True)


def _apart(log):
    """Returns a stream to stdout for answers, and redirects all other output, also of libraries, to the log."""
    answers = os.fdopen(os.dup(1), "w")
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(file, 1)
    os.dup2(file, 2)
    return answers


def _read(jobs):
    for line in sys.stdin:
        jobs.put(line)
    jobs.put(None)
    os.kill(os.getpid(), signal.SIGTERM)  # the parent has exited or closed the pipe


def _set_up(threads):
    import tensorflow as tf

    # A step on small images consists of thousands of small operations: several threads wait for each other longer
    # than they compute, and rewriting the graph takes longer than it saves.
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})


def _answer(experiment, job):
    import keras

    try:
        print(f"{job}", flush=True)
        if isinstance(job, Training):
            train(experiment, job)
        else:
            measure(experiment, job)
    except Stopped:
        raise SystemExit(143) from None
    except UserError as error:
        return {"error": str(error), "exit_code": error.exit_code}
    finally:
        keras.backend.clear_session()
        gc.collect()
    return {"error": None, "exit_code": 0}


def train(experiment: Experiment, training: Training) -> None:
    """Starts or resumes a run, trains it to its end, and tests its last weights."""
    from keras_resnet.training.metrics import Evaluator
    from keras_resnet.training.start import train_run

    run = train_run(experiment.config_of(training), experiment.folder(training).path)
    task, model = run.task, trained_model(run.task, run.folder)
    # Eagerly, since tracing a graph takes longer than it saves.
    evaluate = Evaluator(task, model, run.strategy, step=lambda batch: task.evaluate(model, batch))
    write_text(experiment.test_file(training), json.dumps(evaluate("test")) + "\n")


def trained_model(task, folder):
    """Returns a task's network with the last weights of a finished run."""
    from keras_resnet.weights.native import assign_tensors, named_variables
    from keras_resnet.weights.tensors import read_tensors

    model = task.build_model()
    assign_tensors(named_variables(model), read_tensors(folder.last_weights), folder.last_weights)
    return model


def images_of_test(task, count=None):
    """Returns the first `count` test images (count, H, W, C), float32 in [0, 255], as model inputs; None: all."""
    from keras_resnet.data.pipeline import Shard

    batches = task.eval_dataset("test", Shard(0, 1, task.config.eval.batch_size))
    return np.concatenate([images.numpy()[weights.numpy() > 0] for (images, _), weights in batches])[:count]


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


def measure(experiment: Experiment, measurement: Measurement) -> None:
    """Calls a measurement's function and stores its result."""
    answer = pkgutil.resolve_name(measurement.function)(experiment, **dict(measurement.arguments))
    path = experiment.answer_file(measurement)
    make_folder(os.path.dirname(path))
    write_text(path, json.dumps(answer, indent=1) + "\n")


def to_json(job: Job | Experiment) -> str:
    """Returns a line that `from_json` reads."""
    return json.dumps({"kind": type(job).__name__} | asdict(job))


def from_json(text: str):
    """Returns the experiment or job of a line."""
    fields = json.loads(text)
    kind = {"Experiment": Experiment, "Training": Training, "Measurement": Measurement}[fields.pop("kind")]
    if kind is Measurement:
        fields["trainings"] = tuple(_training(each) for each in fields["trainings"])
        fields["arguments"] = tuple((name, value) for name, value in fields["arguments"])
    elif kind is Training:
        return _training(fields)
    else:
        fields = {name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()}
    return kind(**fields)


def _training(fields):
    start = fields["starts_from"]
    return Training(
        **fields | {"changes": tuple(fields["changes"]), "starts_from": _training(start) if start else None}
    )


if __name__ == "__main__":
    main()
