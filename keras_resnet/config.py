"""What decides a run, typed: YAML, `extends`, `--set group.key=value`, and errors of one line.

Knows nothing of TensorFlow, so that a mistake shows at once.
"""

import hashlib
import json
import math
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from keras_resnet.errors import ConfigError, suggest
from keras_resnet.specs import (
    SPECS,
    Activation,
    Initialization,
    Normalization,
    Shortcut,
    Version,
    ZeroChannels,
    variant,
)
from keras_resnet.yaml_files import Located, dump_yaml, merge, read_yaml, read_yaml_value

STRATEGIES = ("one_device", "mirrored", "multi_worker")
IMAGE_SETS = ("digits",)


def _one_of(allowed):
    def check(value):
        if value not in allowed:
            raise PydanticCustomError("unknown_name", "{hint}", {"hint": suggest(value, allowed)})
        return value

    return AfterValidator(check)


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
    weights: str | None = Field(None, description="A .safetensors file of this network's weights to start from.")

    @model_validator(mode="after")
    def _shortcut_needs_one(self):
        if self.shortcut is not None and SPECS[self.name].merge == "plain":
            raise PydanticCustomError(
                "at", "{problem}", {"at": ["shortcut"], "problem": f"{self.name} has no shortcuts; leave it out"}
            )
        return self

    @property
    def spec(self):
        """The network's `Spec`."""
        return variant(SPECS[self.name], **self.model_dump(exclude={"name", "weights"}))


class Data(_Group):
    """Which images, and how they are varied in training."""

    name: Annotated[str, _one_of(IMAGE_SETS)] = Field(
        "digits", description="digits: scikit-learn's 1,797 handwritten digits, 8x8 pixels; needs no download."
    )
    image_size: int | None = Field(
        None, ge=8, le=2048, description="Height and width in pixels that the network sees. null: the set's own."
    )
    pad_crop: int = Field(
        0, ge=0, le=512, description="Pixels of zeros on every side before a random crop of the image's size."
    )
    flip: bool = Field(False, description="Mirror half of the training images left to right.")


class Train(_Group):
    """How the weights are learnt. Time is counted in optimizer steps."""

    steps: int | None = Field(None, ge=1, le=10**9, description="Optimizer steps in all. Give this or epochs.")
    epochs: float | None = Field(None, gt=0, le=10**6, description="Passes over the training images.")
    batch_size: int = Field(128, ge=1, le=10**6, description="Images of one step, over all replicas.")
    learning_rate: float = Field(0.1, gt=0, description="The highest rate.")
    schedule: Literal["step", "cosine", "constant"] = Field(
        "step", description="step: times 0.1 at each of drops. cosine: to 0 at the end. constant."
    )
    drops: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = Field(
        (0.5, 0.75), strict=False, description="For schedule: step, the fractions of the steps at which the rate drops."
    )
    warmup_steps: int = Field(0, ge=0, description="Steps in which the rate grows linearly to learning_rate.")
    momentum: float = Field(0.9, ge=0, lt=1)
    weight_decay: float = Field(
        1e-4, ge=0, description="L2 in the gradient, of kernels only; the papers' and Torch's weight decay."
    )
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"] = "float32"
    jit_compile: bool = Field(False, description="Compile forward and backward pass with XLA.")
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

    @property
    def total_steps(self) -> int:
        """Steps of a resolved configuration."""
        if self.steps is None:
            raise ValueError("train.steps is not resolved; see keras_resnet.config.resolve")
        return self.steps

    @model_validator(mode="after")
    def _length(self):
        if (self.steps is None) == (self.epochs is None):
            problem = "give one of train.steps and train.epochs, got " + ("neither" if self.steps is None else "both")
            raise PydanticCustomError("at", "{problem}", {"at": ["steps"], "problem": problem})
        if list(self.drops) != sorted(self.drops):
            raise PydanticCustomError("at", "{problem}", {"at": ["drops"], "problem": "expected growing fractions"})
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

    top_k: int = Field(5, ge=1, description="Classes that serving_default returns for an image.")


class Config(_Group):
    """A whole run. `config_json_schema()` turns it into the schema that editors read."""

    task: Literal["classification"] = "classification"
    model: Model = Model()
    data: Data = Data()
    train: Train
    eval: Eval = Eval()
    export: Export = Export()

    def digest(self) -> str:
        """Eight hexadecimal digits that differ when anything in the configuration does."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:8]

    def to_yaml(self) -> str:
        """The configuration with every default written out, as `load_config` reads it."""
        return dump_yaml(self.model_dump(mode="json"))


def load_config(path: str, assignments: tuple[str, ...] | list[str] = ()) -> Config:
    """Reads a YAML file, what it extends, and "group.key=value" assignments on top, and checks the whole once.

    Raises:
        ConfigError: anything is wrong; one line with file, line, key, value and what is allowed.
    """
    located = read_yaml(path)
    for assignment in assignments:
        located = merge(located, _assigned(assignment))
    return validate(located)


def resolve(config: Config, train_size: int) -> Config:
    """The configuration with time in steps: epochs, evaluations and checkpoints, for so many training images."""
    train = config.train
    epoch = math.ceil(train_size / train.batch_size)
    steps = train.steps or max(1, round((train.epochs or 1) * train_size / train.batch_size))
    eval_every = train.eval_every or max(epoch, math.ceil(steps / 20))
    resolved = {
        "steps": steps,
        "epochs": None,
        "eval_every": eval_every,
        "checkpoint_every": train.checkpoint_every or eval_every,
    }
    return config.model_copy(update={"train": train.model_copy(update=resolved)})


def _assigned(assignment):
    keys, equals, text = assignment.partition("=")
    if not equals or not all(keys.split(".")):
        raise ConfigError(f'--set={assignment!r}: expected group.key=value, for example "train.seed=1"')
    value = read_yaml_value(text, f"--set={assignment!r}")
    path = tuple(keys.split("."))
    for key in reversed(path):
        value = {key: value}
    return Located(value, {path[:i]: "--set" for i in range(1, len(path) + 1)})


def validate(located: Located) -> Config:
    """Turns what was read into a `Config`.

    Raises:
        ConfigError: the first thing that is wrong, in one line.
    """
    try:
        return Config.model_validate(located.value)
    except ValidationError as error:
        raise ConfigError(_one_line(error.errors(), located)) from None


def _one_line(errors, located):
    first = min(errors, key=lambda error: error["type"] == "missing")
    path = [part for part in first["loc"] if isinstance(part, str) and part not in ("float", "int", "str")]
    path += (first.get("ctx") or {}).get("at", [])
    where = located.mark(path)
    line = f"{where}: {'.'.join(path) or 'file'}: {_problem(first, path)}"
    return line + (f" (and {len(errors) - 1} more)" if len(errors) > 1 else "")


def _problem(error, path):
    value = json.dumps(error["input"], default=str)
    value = value if len(value) <= 80 else value[:77] + "..."
    if error["type"] == "extra_forbidden":
        return f"unknown key; {suggest(path[-1], _fields(path[:-1]))}"
    if error["type"] == "missing":
        return "is missing"
    if error["type"] == "at":
        return error["msg"]
    if error["type"] == "unknown_name":
        return f"unknown name {value}; {error['msg']}"
    if error["type"] == "literal_error":
        allowed = error["ctx"]["expected"].replace("'", '"')
        choices = [part.strip('" ') for part in allowed.replace(" or ", ",").split(",")]
        return f"got {value}; {suggest(error['input'], choices)}"
    return f"expected {_expected(path, error)}, got {value}"


_KINDS = {int: "a whole number", float: "a number", bool: "true or false", str: "a text", tuple: "a list of numbers"}
_BOUNDS = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}


def _expected(path, error):
    """What the field takes, in words: `a number > 0`."""
    field = _fields(path[:-1]).get(path[-1]) if path else None
    if field is None or (isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)):
        return "a group of keys"
    annotation = field.annotation
    if get_origin(annotation) in (Union, UnionType):  # "| None"
        annotation = get_args(annotation)[0]
    kind = get_origin(annotation) or annotation
    words = _KINDS.get(kind, error["msg"])
    limits = field.metadata
    if kind is tuple:  # the bounds are those of its items
        limits = get_args(get_args(annotation)[0])[1].metadata
    bounds = [
        f"{sign} {getattr(limit, name)}"
        for limit in limits
        for name, sign in _BOUNDS.items()
        if getattr(limit, name, None) is not None
    ]
    return " ".join([words, " and ".join(bounds)]).strip()


def _fields(path):
    group: Any = Config
    for key in path:
        group = group.model_fields[key].annotation
    return group.model_fields


def config_json_schema() -> str:
    """The JSON schema of a configuration file, for editors; `configs/schema.json` is its output."""
    schema = Config.model_json_schema()
    schema["properties"]["extends"] = {"type": "string", "description": "A file that this one changes, relative to it."}
    schema.pop("required", None)  # a file that extends another may leave anything out
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["$defs"]["Model"]["properties"]["name"]["enum"] = list(SPECS)
    schema["$defs"]["Data"]["properties"]["name"]["enum"] = list(IMAGE_SETS)
    return json.dumps(schema, indent=2) + "\n"


def check_strategy(config: Config, strategy: str, replicas: int | None = None) -> None:
    """Checks what depends on how the run is distributed.

    Args:
        config: the run.
        strategy: one of `STRATEGIES`.
        replicas: how many copies of the network train, where it is known.

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
