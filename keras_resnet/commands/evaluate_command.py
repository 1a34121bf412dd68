"""Measures a run's error on a split of its images, every image counted once.

    python -m keras_resnet evaluate runs/latest --split=test
"""

from absl import flags

from keras_resnet.commands.entry import require_tensorflow_backend
from keras_resnet.errors import ConfigError

SPLIT = flags.DEFINE_string("split", "validation", "train, validation or test.")
CHECKPOINT = flags.DEFINE_string("checkpoint", "best", "best (by validation), last, or a step.")


def main(positional):
    """Prints the figures of the run's weights."""
    require_tensorflow_backend()
    if len(positional) != 1:
        raise ConfigError("expected the folder of one run, for example: python -m keras_resnet evaluate runs/latest")
    import tensorflow as tf

    from keras_resnet.commands.runs import load_run
    from keras_resnet.training.evaluation import Evaluator

    run = load_run(positional[0], CHECKPOINT.value)
    if SPLIT.value not in run.task.sizes:
        from keras_resnet.errors import suggest

        raise ConfigError(f'--split: unknown split "{SPLIT.value}"; {suggest(SPLIT.value, run.task.sizes)}')
    figures = Evaluator(run.task, run.model, tf.distribute.get_strategy())(SPLIT.value)
    name, images = run.task.config.model.name, run.task.sizes[SPLIT.value]
    print(f"{name} ({CHECKPOINT.value}, step {run.step:,}) on the {images} {SPLIT.value} images of {run.task.config.data.name}")
    print(f"  {SPLIT.value} error  {figures['error']:.2f} %  ({round(figures['error'] * images / 100)} of {images} wrong)")
    print(f"  {SPLIT.value} loss   {figures['loss']:.4f}")
