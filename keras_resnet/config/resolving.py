"""Resolves a configuration for a data set, and checks it against the strategy."""

import math

from keras_resnet.config.groups import Config
from keras_resnet.errors import ConfigError, suggest

STRATEGIES = ("one_device", "mirrored", "multi_worker")


def resolve(config: Config, train_size: int) -> Config:
    """Returns the configuration with epochs, evaluation and checkpoint intervals in steps, for `train_size` images."""
    train = config.train
    epoch = math.ceil(train_size / train.batch_size)
    steps = train.steps or max(1, round((train.epochs or 1) * train_size / train.batch_size))
    if train.warmup_steps > steps:
        raise ConfigError(f"train.warmup_steps: {train.warmup_steps} is more than the {steps} steps of the run")
    eval_every = train.eval_every or max(epoch, math.ceil(steps / 20))
    resolved = {
        "steps": steps,
        "epochs": None,
        "eval_every": eval_every,
        "checkpoint_every": train.checkpoint_every or eval_every,
    }
    return config.model_copy(update={"train": train.model_copy(update=resolved)})


def check_strategy(config: Config, strategy: str, replicas: int | None = None) -> None:
    """Checks the settings that depend on the distribution strategy.

    Args:
        config: the run's configuration.
        strategy: one of `STRATEGIES`.
        replicas: the number of replicas, if known.

    Raises:
        ConfigError: the strategy is unknown, a batch does not divide over the replicas, or the precision
            cannot be compiled under it.
    """
    if strategy not in STRATEGIES:
        raise ConfigError(f'--strategy: unknown strategy "{strategy}"; {suggest(strategy, STRATEGIES)}')
    if strategy != "one_device" and config.train.jit_compile and config.train.precision == "mixed_float16":
        raise ConfigError(
            "train.jit_compile: true cannot go with train.precision mixed_float16 under --strategy="
            f"{strategy} (Keras's loss scaling does not compile there); use mixed_bfloat16, or jit_compile: false"
        )
    for key, batch in (("train.batch_size", config.train.batch_size), ("eval.batch_size", config.eval.batch_size)):
        if replicas and batch % replicas:
            near = max(batch // replicas, 1) * replicas
            raise ConfigError(
                f"{key}: {batch} does not divide over {replicas} replicas; try {near} or {near + replicas}"
            )
    if replicas:
        _check_parts(config, replicas)


def _check_parts(config, replicas):
    train, data = config.train, config.data
    replica_batch = train.batch_size // replicas
    if replica_batch % train.gradient_accumulation_steps:
        raise ConfigError(
            f"train.gradient_accumulation_steps: {train.gradient_accumulation_steps} parts do not divide the "
            f"{replica_batch} images of one replica"
        )
    if (data.mixup or data.cutmix) and replica_batch % 2:
        raise ConfigError(
            f"data.mixup, data.cutmix: images are mixed in pairs; train.batch_size {train.batch_size} gives each of "
            f"{replicas} replicas {replica_batch}, an odd number"
        )
