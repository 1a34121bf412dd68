"""The typed configuration with all defaults: its digest, differences from another, and resolving for a data set."""

import hashlib
import json
import math
from importlib.resources import files
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from keras_resnet.config.data import Data
from keras_resnet.config.fields import Group, problem
from keras_resnet.config.model import FILLED_IN, Model
from keras_resnet.config.train import Recovery, Train
from keras_resnet.description import Description, Interpolation
from keras_resnet.errors import ConfigError, suggest
from keras_resnet.renamed import CONFIG_KEYS, Renamed
from keras_resnet.yaml_files import dump_yaml

# Keys that do not affect the weights of a run and may change when it resumes. They do not include `checkpoint_every`,
# because a rollback goes to a checkpoint, or `eval.batch_size`, which affects the rounding of the sums that select the
# best weights. `log_every` sets the number of steps in the check for an exploding loss, so it affects only runs whose
# loss explodes.
FREE = (
    "train.log_every",
    "train.keep_checkpoints",
    "train.wandb_project",
    "data.download",
    "data.max_skipped",
    "data.tf_data_service",
    "recovery.on_save_error",
    "export",
)
# Keys that other tasks do not have.
_OF_CLASSIFICATION = ("loss", "teacher", "sam_rho")
STRATEGIES = ("one_device", "mirrored", "multi_worker")


def digest(values: dict, defaults: dict) -> str:
    """Returns eight hexadecimal digits that differ if any value differs.

    Args:
        values: a whole configuration, {group: {key: value}}. A later key that `resolve` fills in must have the value
            that the user set; otherwise every run would differ from the default.
        defaults: the default configuration in the same form.
    """
    now, default = _flat(values), _flat(defaults)
    first = _flat(json.loads(files("keras_resnet.config").joinpath("defaults_0_1.json").read_text()))
    hashed = {}
    for key, value in first.items():
        row = CONFIG_KEYS.get(key, Renamed(key))
        hashed[key] = row.old_value(now.pop(row.new)) if row.new in now else value
    hashed |= {key: value for key, value in now.items() if value != default[key]}
    return hashlib.sha256(json.dumps(_nested(hashed), sort_keys=True).encode()).hexdigest()[:8]


def _flat(groups):
    flat: dict[str, Any] = {}
    for name, value in groups.items():
        flat |= {f"{name}.{key}": each for key, each in value.items()} if isinstance(value, dict) else {name: value}
    return flat


def _nested(flat):
    groups: dict[str, Any] = {}
    for name, value in flat.items():
        group, _, key = name.rpartition(".")
        (groups.setdefault(group, {}) if group else groups)[key] = value
    return groups


def first_difference(there: dict, here: dict, group: str = "") -> str | None:
    """Returns the first difference of two configurations outside of `FREE`: "train.seed is 0 there and 1 here".

    Keys that only one configuration has belong to another version of this package, and are ignored.
    """
    for name in there:
        key = f"{group}{name}"
        if name not in here or there[name] == here[name] or key in FREE:
            continue
        if isinstance(there[name], dict) and isinstance(here[name], dict):
            inner = first_difference(there[name], here[name], f"{key}.")
            if inner:
                return inner
        else:
            return f"{key} is {there[name]} there and {here[name]} here"
    return None


class Eval(Group):
    """The evaluation of a network."""

    batch_size: int = Field(256, ge=1, le=10**6, description="Images per evaluation step, over all replicas.")
    crop_pct: float = Field(
        1.0,
        gt=0,
        le=1,
        description="The shorter side is resized to image_size / crop_pct before the center crop.",
    )
    interpolation: Interpolation = Field("bilinear", description="Interpolation of resizing, always antialiased.")


class Export(Group):
    """The outputs and limits of an exported model."""

    top_k: int | None = Field(
        None,
        ge=1,
        description="Number of classes that serving_default returns per image. null: 5, or all if there are "
        "fewer; of the task multilabel 100.",
    )
    on_invalid_image: Literal["status", "fail"] = Field(
        "status",
        description="Reaction of serving_default to an unreadable image. status: its row gives the reason and the "
        "other rows have results. fail: the whole request fails and names the row.",
    )
    max_image_bytes: int = Field(
        20_000_000, ge=1, le=2**31 - 1, description="Largest file that serving_default decodes, in bytes."
    )
    max_image_pixels: int = Field(
        50_000_000, ge=1, le=2**29, description="Largest image that serving_default decodes, in pixels."
    )
    min_top1_agreement: float | None = Field(
        None,
        ge=0,
        le=1,
        description="Minimum share of images for which an artifact of lower precision has the same top-1 class as the "
        "network. null: 0.999 for float16, 0.99 for bfloat16, dynamic and int8.",
    )


class Config(Group):
    """The configuration of a run; `config_json_schema()` returns its schema for editors."""

    task: Literal["classification"] = "classification"  # subclasses have the names of other tasks
    model: Model = Model()
    data: Data = Data()
    train: Train
    recovery: Recovery = Recovery()
    eval: Eval = Eval()
    export: Export = Export()

    @model_validator(mode="after")
    def _groups_agree(self):
        spec, train = self.model.spec, self.train
        for name in _OF_CLASSIFICATION:
            if self.task != "classification" and getattr(train, name) != Train.model_fields[name].default:
                raise problem(["train", name], f"is for the task classification, not for {self.task}; omit it")
        if train.remat and (self.model.has_random_layers or train.batch_norm == "synchronized"):
            other = "train.batch_norm: synchronized" if train.batch_norm == "synchronized" else "random layers"
            raise problem(["train", "remat"], f"cannot go with {other}, which would differ the second time")
        for name in ("mean", "std"):
            values = getattr(self.model, name)
            if not self.data.channels and values and len(values) not in (1, 3):
                expected = "3 numbers, or one per channel with data.channels"
                raise problem(["model", name], f"expected {expected}, got {[*values]}")
        if self.data.channels and self.eval.interpolation == "bicubic":
            raise problem(
                ["eval", "interpolation"], "bicubic limits values to 0 to 255; use bilinear with data.channels"
            )
        if train.remat and train.sam_rho:
            raise problem(["train", "remat"], "cannot go with train.sam_rho, whose second gradient does not have it")
        if train.freeze_at and train.freeze_at != "stem" and int(train.freeze_at[-1]) > len(spec.depths):
            raise problem(["train", "freeze_at"], f"{spec.name} has {len(spec.depths)} stages")
        if self.data.wants_boxes and train.class_weights is not None:
            raise problem(["train", "class_weights"], f"is for images with labels, not for the task {self.task}")
        return self

    def filled_in(self, weights: Description, labels: tuple[str, ...]) -> Self:
        """Returns a copy with the options that pretrained weights determine and that are not set.

        Args:
            weights: the description of the weights.
            labels: the classes of the data set.
        """
        return self.model_copy(update={"model": self.model.filled_in(weights.spec, weights.preprocessing)})

    def filled_in_as(self, run: Self) -> Self:
        """Returns a copy with these options as a run has them, whose weights may no longer exist."""
        kept = {name: getattr(run.model, name) for name in FILLED_IN if getattr(self.model, name) is None}
        return self.model_copy(update={"model": self.model.model_copy(update=kept)})

    def earlier_runs(self) -> dict[str, Self]:
        """Returns the runs that come before this one, {subfolder of its folder: configuration}, in order."""
        return {}

    def digest(self) -> str:
        """Returns eight hexadecimal digits that differ if any value differs, stable across versions."""
        defaults = type(self).model_validate({"train": {"steps": 1}})
        return digest(self.model_dump(mode="json"), defaults.model_dump(mode="json"))

    def to_yaml(self) -> str:
        """Returns the configuration with all defaults as YAML that `load_config` reads."""
        return dump_yaml(self.model_dump(mode="json"))


def resolve(config: Config, train_size: int) -> Config:
    """Returns the configuration with epochs, evaluation and checkpoint intervals in steps, for `train_size` images."""
    train = config.train
    epoch = math.ceil(train_size / train.batch_size)
    steps = train.steps or max(1, round((train.epochs or 1) * train_size / train.batch_size))
    if train.warmup_steps > steps:
        raise ConfigError(
            f"train.warmup_steps: {train.warmup_steps} is more than the {steps} steps of the run; "
            "expected fewer, or train.warmup_steps=0"
        )
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
    if strategy == "multi_worker" and config.earlier_runs():
        # A worker could look for the weights of one run before the chief has written them.
        raise ConfigError(f"--strategy={strategy}: is not possible for a run of several steps; use mirrored")
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
    if data.repeated_augmentation > 1 and train.batch_size < 2 * data.repeated_augmentation:
        raise ConfigError(
            f"data.repeated_augmentation: {data.repeated_augmentation} copies need a train.batch_size of at least "
            f"{2 * data.repeated_augmentation}, got {train.batch_size}"
        )
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
