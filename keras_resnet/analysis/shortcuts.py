"""Section 4.1, table 3: zero channels (A), projections where the shape changes (B), projections everywhere (C)."""

import time

import numpy as np

from keras_resnet.analysis.degradation import trainings
from keras_resnet.analysis.study import Job, Measurement, Study, Training

OPTIONS = ("A", "B", "C")
DEPTH = 32  # layers; the paper's table has 34
TIMED_STEPS, TIMED_ROUNDS = 10, 7


def depth_of(study: Study) -> int:
    """The deepest of the study's residual nets that is no deeper than `DEPTH`, or its shallowest."""
    return max((depth for depth in study.depths if depth <= DEPTH), default=study.depths[0])


def option_trainings(study: Study, option: str) -> list[Training]:
    """The runs of one option, a seed each; A's are those of the degradation."""
    same = trainings(study, "residual", depth_of(study))
    return same if option == "A" else [Training(t.network, t.seed, (f"model.shortcut={option}",)) for t in same]


def timing(study: Study) -> Measurement:
    """Step times of the options, in turn."""
    return Measurement("keras_resnet.analysis.shortcuts:step_times", (("depth", depth_of(study)),), (), True, 40.0)


def jobs(study: Study) -> list[Job]:
    """The options, the plain net beside them, and the timing."""
    runs = [each for option in OPTIONS for each in option_trainings(study, option)]
    return [*runs, *trainings(study, "plain", depth_of(study)), timing(study)]


def step_times(study: Study, depth: int) -> dict[str, list[float]]:
    """{option: seconds of a training step, one mean per round}; the options take turns, since machines do not idle."""
    import tensorflow as tf

    from keras_resnet.data.batches import training_batches
    from keras_resnet.task import load_task
    from keras_resnet.training.learner import build_learner
    from keras_resnet.training.steps import make_train_step
    from keras_resnet.training.strategy import make_strategy

    strategy = make_strategy("one_device")
    steps = {}
    for option in OPTIONS:
        task = load_task(study.config_of(Training(f"cifar_resnet{depth}", 0, (f"model.shortcut={option}",))))
        batch = next(iter(training_batches(task, strategy, 0)))
        model, optimizer = build_learner(task, strategy)
        steps[option] = (make_train_step(task, model, optimizer, strategy), batch)

    def seconds(step, batch, count):
        began = time.perf_counter()
        for _ in range(count):
            sums = step(batch)
        tf.nest.map_structure(np.asarray, sums)  # waits for the device
        return (time.perf_counter() - began) / count

    for step, batch in steps.values():
        seconds(step, batch, 2)
    found: dict[str, list[float]] = {option: [] for option in OPTIONS}
    for _ in range(TIMED_ROUNDS):
        for option, (step, batch) in steps.items():
            found[option].append(seconds(step, batch, TIMED_STEPS))
    return found
