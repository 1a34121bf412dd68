"""The groups and keys of a configuration, typed, with every default."""

import hashlib
import json
import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from keras_resnet.errors import suggest
from keras_resnet.specs import (
    SPECS,
    Activation,
    Initialization,
    LastGamma,
    Normalization,
    Shortcut,
    Version,
    ZeroChannels,
    variant,
)
from keras_resnet.yaml_files import dump_yaml

IMAGE_SETS = ("digits", "synthetic", "tfds:NAME", "folder:PATH", "tfrecord:PATH")


def _one_of(allowed):
    def check(value):
        if value not in allowed:
            raise PydanticCustomError("unknown_name", "{hint}", {"hint": suggest(value, allowed)})
        return value

    return AfterValidator(check)


def _image_set(value):
    kind, colon, rest = value.partition(":")
    allowed = {name.partition(":")[0]: name for name in IMAGE_SETS}
    if kind not in allowed:
        raise PydanticCustomError("unknown_name", "{hint}", {"hint": suggest(value, IMAGE_SETS)})
    if (":" in allowed[kind]) != bool(colon and rest):
        raise PydanticCustomError("unknown_name", "{hint}", {"hint": f'expected "{allowed[kind]}"'})
    return value


def _service(value):
    if value is not None and not re.fullmatch(r"grpc://.+:\d+", value):
        raise PydanticCustomError("unknown_name", "{hint}", {"hint": 'expected "grpc://HOST:PORT"'})
    return value


def _problem(at, problem):
    return PydanticCustomError("at", "{problem}", {"at": at, "problem": problem})


def _as_text(value):
    return f"{value:g}" if isinstance(value, (int, float)) and not isinstance(value, bool) else value


class _Group(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, strict=True)


class Model(_Group):
    """Which network."""

    name: Annotated[str, _one_of(tuple(SPECS))] = Field(
        "cifar_resnet20", description="A row of keras_resnet.SPECS; `python -m keras_resnet list` shows them."
    )
    version: Annotated[Version | None, BeforeValidator(_as_text)] = Field(
        None, description="1: the paper. 1.5: stride on the 3x3. 2: pre-activation. null: the row's own."
    )
    shortcut: Shortcut | None = Field(None, description="Option A, B or C of the paper. null: the row's own.")
    zero_channels: ZeroChannels | None = Field(None, description="Where option A puts its zero channels.")
    normalization: Normalization | None = Field(None, description="none: no batch normalization; biases instead.")
    activation: Activation | None = Field(None, description="The non-linearity.")
    initialization: Initialization | None = Field(
        None, description="he, xavier, or He's deviation halved (small) or doubled (large)."
    )
    last_gamma: LastGamma | None = Field(
        None, description="First scale of a block's last normalization. zero: blocks begin as the identity."
    )
    stochastic_depth: float | None = Field(
        None, ge=0, lt=1, description="How often the last block's F is left out in training; linear from the first."
    )
    weights: str | None = Field(
        None,
        description="A .safetensors file of this network's weights to start from. Another number of classes: new head.",
    )
    new_head: bool = Field(False, description="Start with a new classifier even where that of `weights` would fit.")

    @model_validator(mode="after")
    def _describes_a_network(self):
        if self.shortcut is not None and SPECS[self.name].merge == "plain":
            raise _problem(["shortcut"], f"{self.name} has no shortcuts; leave it out")
        if self.new_head and not self.weights:
            raise _problem(["new_head"], "is for a run that starts from model.weights, which is not given")
        try:
            _ = self.spec
        except ValueError as error:
            raise _problem([], str(error)) from None
        return self

    @property
    def spec(self):
        """The network's `Spec`."""
        return variant(SPECS[self.name], **self.model_dump(exclude={"name", "weights", "new_head"}))


class Data(_Group):
    """Which images, and how they are varied in training."""

    name: Annotated[str, AfterValidator(_image_set)] = Field(
        "digits",
        description="digits: scikit-learn's, no download. synthetic: made-up images. tfds:NAME: a set of TensorFlow "
        "Datasets. folder:PATH: a folder per class. tfrecord:PATH: files in the ImageNet layout.",
    )
    directory: str | None = Field(None, description="tfds: where prepared sets lie. null: ~/tensorflow_datasets.")
    download: bool = Field(True, description="tfds: download and prepare what is not there.")
    classes: int | None = Field(
        None, ge=1, le=10**6, description="tfrecord without a labels.txt, synthetic: the number of classes."
    )
    validation_fraction: float = Field(
        0.1, ge=0, lt=1, description="Of the training images, where the set has no validation images. 0: test on test."
    )
    test_fraction: float = Field(
        0.1, ge=0, lt=1, description="Of the training images, where the set has training images alone."
    )
    on_error: Literal["fail", "skip"] = Field(
        "fail", description="An image that cannot be read. fail: stop, naming it. skip: leave it out, naming it."
    )
    max_skipped: int = Field(100, ge=0, description="With on_error: skip, how many before the run stops.")
    service: Annotated[str | None, AfterValidator(_service)] = Field(
        None, description="Dispatcher of a tf.data service that prepares batches: grpc://HOST:PORT."
    )

    image_size: int | None = Field(
        None,
        ge=8,
        le=2048,
        description="Height and width in pixels that the network sees. null: the set's own, or the network's.",
    )
    crop: Literal["whole", "scale_jitter", "random_resized"] = Field(
        "whole",
        description="Of training images. whole: as in tests. scale_jitter: a square of image_size from the image with "
        "its shorter side in a random one of `scales`. random_resized: an area of random share and aspect ratio.",
    )
    scales: tuple[Annotated[int, Field(ge=8, le=4096)], ...] = Field(
        (256, 480), strict=False, description="For crop: scale_jitter, the least and the greatest shorter side."
    )
    crop_area: tuple[Annotated[float, Field(gt=0, le=1)], ...] = Field(
        (0.08, 1.0), strict=False, description="For crop: random_resized, the least and the greatest share of the area."
    )
    pad_crop: int = Field(
        0, ge=0, le=512, description="Pixels of zeros on every side before a random crop of the image's size."
    )
    flip: bool = Field(False, description="Mirror half of the training images left to right.")
    color: Literal["none", "alexnet"] = Field(
        "none", description="alexnet: a random multiple of ImageNet's principal colours is added to every image."
    )
    randaugment_layers: int = Field(0, ge=0, le=10, description="RandAugment: operations on one image. 0: none.")
    randaugment_magnitude: float = Field(10, ge=0, le=10, description="RandAugment: their strength.")
    erase: float = Field(0.0, ge=0, le=1, description="Random erasing: how often a rectangle becomes noise.")
    mixup: float = Field(0.0, ge=0, description="Mixup: alpha of the Beta distribution of the mix. 0: none.")
    cutmix: float = Field(0.0, ge=0, description="CutMix: the same; where both are given, pairs take one at random.")

    @model_validator(mode="after")
    def _ranges(self):
        for name in ("scales", "crop_area"):
            values = getattr(self, name)
            if len(values) != 2 or values[0] > values[1]:
                raise _problem([name], f"expected two numbers, the smaller first, got {list(values)}")
        if self.name == "synthetic" and self.on_error == "skip":
            raise _problem(["on_error"], "synthetic images cannot fail; leave it out")
        return self


class Train(_Group):
    """How the weights are learnt. Time is counted in optimizer steps."""

    steps: int | None = Field(None, ge=1, le=10**9, description="Optimizer steps in all. Give this or epochs.")
    epochs: float | None = Field(None, gt=0, le=10**6, description="Passes over the training images.")
    batch_size: int = Field(128, ge=1, le=10**6, description="Images of one step, over all replicas.")
    learning_rate: float = Field(0.1, gt=0, description="The highest rate.")
    learning_rate_per: int | None = Field(
        None, ge=1, description="Linear scaling: learning_rate is for batches of so many images. null: for this batch."
    )
    schedule: Literal["step", "cosine", "constant"] = Field(
        "step", description="step: times 0.1 at each of drops. cosine: to 0 at the end. constant."
    )
    drops: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = Field(
        (0.5, 0.75), strict=False, description="For schedule: step, the fractions of the steps at which the rate drops."
    )
    warmup_steps: int = Field(0, ge=0, description="Steps in which the rate grows linearly to learning_rate.")
    warmup_rate: float | None = Field(
        None, gt=0, description="A constant rate during the warm-up instead, as the paper's for ResNet-110."
    )
    momentum: float = Field(0.9, ge=0, lt=1)
    weight_decay: float = Field(1e-4, ge=0, description="L2 in the gradient; the papers' and Torch's weight decay.")
    decay_of: Literal["kernels", "all"] = Field(
        "kernels", description="kernels: not of biases and normalization. all: as in the paper's Caffe nets."
    )
    label_smoothing: float = Field(0.0, ge=0, lt=1, description="Share of the target spread over all classes.")
    clip_norm: float | None = Field(None, gt=0, description="Greatest norm of the gradient of all weights together.")
    accumulate: int = Field(
        1, ge=1, description="Parts in which a replica computes its batch, one after the other, to save memory."
    )
    ema_decay: float = Field(
        0.0, ge=0, lt=1, description="Test and keep an exponential moving average of the weights. 0: the weights."
    )
    statistics: Literal["replica", "synchronized", "frozen"] = Field(
        "replica", description="Batch normalization by the batch of one replica, of all replicas, or as it was loaded."
    )
    reestimate_batches: int = Field(
        0, ge=0, description="After training, batches over which normalization's statistics are computed anew."
    )
    freeze_until: Literal["stem", "stage1", "stage2", "stage3", "stage4"] | None = Field(
        None, description="Keep the weights up to and with this part as they were loaded."
    )
    stage_rate_decay: float = Field(
        1.0, gt=0, le=1, description="Factor on the learning rate from each stage to the one below it."
    )
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"] = "float32"
    jit_compile: bool | None = Field(
        None, description="Compile forward and backward pass with XLA. null: on one GPU, and nowhere else."
    )
    rematerialize: bool = Field(
        False, description="Keep blocks' outputs alone and compute the rest again: less memory, slower steps."
    )
    seed: int = Field(0, ge=0, le=2**31 - 1, description="Decides weights, order and augmentation.")
    log_every: int = Field(50, ge=1, description="Steps between lines of metrics.jsonl.")
    eval_every: int | None = Field(
        None, ge=1, description="Steps between evaluations. null: once an epoch, 20 at most."
    )
    checkpoint_every: int | None = Field(None, ge=1, description="Steps between checkpoints. null: as eval_every.")
    keep_checkpoints: int = Field(2, ge=1, description="How many of the newest checkpoints stay.")
    wandb_project: str | None = Field(None, description="Also log to this project of Weights & Biases.")

    @property
    def total_steps(self) -> int:
        """Steps of a resolved configuration."""
        if self.steps is None:
            raise ValueError("train.steps is not resolved; see keras_resnet.config.resolve")
        return self.steps

    @property
    def peak_rate(self) -> float:
        """The highest learning rate, after linear scaling."""
        return self.learning_rate * (self.batch_size / self.learning_rate_per if self.learning_rate_per else 1)

    @model_validator(mode="after")
    def _length(self):
        if (self.steps is None) == (self.epochs is None):
            problem = "give one of train.steps and train.epochs, got " + ("neither" if self.steps is None else "both")
            raise _problem(["steps"], problem)
        if list(self.drops) != sorted(self.drops):
            raise _problem(["drops"], "expected growing fractions")
        if self.warmup_rate is not None and not self.warmup_steps:
            raise _problem(["warmup_rate"], "is the rate of the first train.warmup_steps, which is 0")
        if self.statistics == "frozen" and self.reestimate_batches:
            raise _problem(["reestimate_batches"], "cannot go with train.statistics: frozen")
        return self


class Eval(_Group):
    """How a network is tested."""

    batch_size: int = Field(256, ge=1, le=10**6, description="Images of one evaluation step, over all replicas.")
    crop_fraction: float = Field(
        1.0,
        gt=0,
        le=1,
        description="The shorter side is resized to image_size / crop_fraction before the central crop.",
    )


class Export(_Group):
    """What an exported model answers."""

    top_k: int | None = Field(
        None,
        ge=1,
        description="Classes that serving_default returns for an image. null: 5, or all of fewer.",
    )


class Config(_Group):
    """A whole run. `config_json_schema()` turns it into the schema that editors read."""

    task: Literal["classification"] = "classification"
    model: Model = Model()
    data: Data = Data()
    train: Train
    eval: Eval = Eval()
    export: Export = Export()

    @model_validator(mode="after")
    def _groups_agree(self):
        spec, train = self.model.spec, self.train
        if train.rematerialize and (spec.stochastic_depth or spec.dropout or train.statistics == "synchronized"):
            other = "train.statistics: synchronized" if train.statistics == "synchronized" else "random layers"
            raise _problem(["train", "rematerialize"], f"cannot go with {other}, which would differ the second time")
        if train.freeze_until and train.freeze_until != "stem" and int(train.freeze_until[-1]) > len(spec.depths):
            raise _problem(["train", "freeze_until"], f"{spec.name} has {len(spec.depths)} stages")
        return self

    def digest(self) -> str:
        """Eight hexadecimal digits that differ when anything in the configuration does."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:8]

    def to_yaml(self) -> str:
        """The configuration with every default written out, as `load_config` reads it."""
        return dump_yaml(self.model_dump(mode="json"))
