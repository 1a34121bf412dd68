"""Measures a run's error on a split of its images, every image counted once.

python -m keras_resnet evaluate runs/latest --split=test
"""

from absl import flags

from keras_resnet.commands.entry import require_tensorflow_backend
from keras_resnet.errors import ConfigError, suggest

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
    split, config = SPLIT.value, run.task.config
    if split not in run.task.sizes:
        raise ConfigError(f'--split: unknown split "{split}"; {suggest(split, run.task.sizes)}')
    figures = Evaluator(run.task, run.model, tf.distribute.get_strategy())(split)
    images = run.task.sizes[split]
    wrong = round(figures["error"] * images / 100)
    print(f"{config.model.name} ({CHECKPOINT.value}, step {run.step:,}) on {config.data.name}")
    print(f"  {split} error  {figures['error']:.2f} %  ({wrong} of {images} images wrong)")
    print(f"  {split} loss   {figures['loss']:.4f}")
