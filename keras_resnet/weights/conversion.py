"""Converts tensors of any weight format to this package's networks and weights. Values are rounded only to float32."""

from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np

from keras_resnet.description import Description, Preprocessing, size_text
from keras_resnet.highway import LAST_WIDTH
from keras_resnet.specs import IN_WEIGHTS, Spec, first_different_option, variant
from keras_resnet.weights.architecture_inference import recognize
from keras_resnet.weights.formats import EPSILON, convention_of
from keras_resnet.weights.model_config import ModelConfig
from keras_resnet.weights.state_dict import Which, pick_network

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True, kw_only=True)
class Pretrained:
    """Weights with the description of their network.

    Attributes:
        path: the file, or the name of published weights, as given by the user.
        arrays: {variable's path: float32 array}.
        description: the network and its preprocessing.
        classes: number of classes of the classifier, None without a classifier.
        assumed: assumptions about properties that neither the tensors nor their source show.
        head: {variable's path: array} of the layers that a task of this package adds to the network, "head/...".
    """

    path: str
    arrays: Arrays
    description: Description
    classes: int | None
    assumed: tuple[str, ...] = ()
    head: Arrays = field(default_factory=dict)

    @property
    def spec(self) -> Spec:
        """Returns the architecture."""
        return self.description.spec

    @property
    def channels(self) -> int:
        """Returns the number of image channels that the first convolution takes."""
        return image_channels(self.arrays)


def convert(
    tensors: Arrays,
    source: str,
    metadata: dict[str, str] | None = None,
    *,
    preprocessing: Preprocessing | None = None,
    config: ModelConfig | None = None,
    given: dict[str, Any] | None = None,
    epsilon: float | None = None,
    which: Which | None = None,
) -> Pretrained:
    """Infers the weight format and the architecture of tensors, and converts them to this package's names and layout.

    Args:
        tensors: tensors by their original names, in any order.
        source: name of the weights, for error messages and the description.
        metadata: metadata strings of a file that this package wrote.
        preprocessing: the preprocessing, if the publisher documents it elsewhere.
        config: content of the configuration files next to the weights.
        given: fields of `Preprocessing` from the user, which take precedence.
        epsilon: epsilon of the batch normalization that the weights were trained with, if the caller knows it.
        which: "plain" or "ema" for a file with both; see `pick_network`.

    Raises:
        ValueError: the tensors do not belong to a network of this package.
    """
    said = _described(metadata or {}, source)
    tensors, picked = pick_network(tensors, source, which)
    names = set(tensors)
    convention = convention_of(names, source)
    try:
        arrays = {path: _float32(value, path) for path, value in convention.rename(tensors).items()}
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from None
    fold_biases(arrays)
    fold_epsilon(arrays, convention.epsilon if epsilon is None else epsilon)
    if convention.bgr:
        arrays["stem_conv/kernel"] = arrays["stem_conv/kernel"][:, :, ::-1]
    config, given = config or ModelConfig(source), given or {}
    unseen = convention.unseen(names) | config.unseen
    seen = recognize({path: value.shape for path, value in arrays.items()}, unseen, source)
    spec = _agreed(said.spec, seen, source) if said else seen
    _check_classifier(arrays, spec, source)
    classes = arrays["logits/kernel"].shape[-1] if "logits/kernel" in arrays else None
    if said or preprocessing:
        known = {each.name for each in fields(Preprocessing)}
    else:
        known = {*config.preprocessing, *convention.known}
    preprocessing = preprocessing or (said.preprocessing if said else convention.preprocessing(names))
    preprocessing = replace(preprocessing, **(config.preprocessing if not said else {}) | given)
    told = _assumed(preprocessing, spec, known | {*given})
    if not said:
        told += tuple(line for line in convention.assumed if epsilon is None or "epsilon" not in line)
    description = said or Description(spec=spec, preprocessing=preprocessing, labels=_labels(config, classes))
    return Pretrained(
        path=source,
        arrays=arrays,
        description=replace(description, spec=spec, preprocessing=preprocessing, source=description.source or source),
        classes=classes,
        assumed=picked + told,
    )


def _assumed(preprocessing, spec, known):
    """Returns lines about the assumed preprocessing, with the values and the arguments that change them."""
    told: tuple[str, ...] = ()
    if not {"mean", "std"} <= known:
        values = (", ".join(f"{value:g}" for value in each) for each in (preprocessing.mean, preprocessing.std))
        told += ("images are normalized by ImageNet's mean {} and std {}".format(*values),)
    taken = {
        "image_size": f"image_size {size_text(preprocessing.image_size or spec.image_size)}",
        "crop_pct": f"crop_pct {preprocessing.crop_pct:g}",
        "interpolation": f"interpolation {preprocessing.interpolation}",
    }
    if missing := ", ".join(text for name, text in taken.items() if name not in known):
        told += (f"images are resized and cropped by {missing}, the default of such networks",)
    return told


def _labels(config, classes):
    """Returns the classifier's class names from the configuration file next to the weights."""
    if config.labels and classes and len(config.labels) != classes:
        raise ValueError(f"{config.path}: names {len(config.labels)} classes, the weights have {classes}")
    return config.labels if classes else ()


def _described(metadata, source):
    try:
        return Description.from_metadata(metadata)
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from None


def _agreed(said, seen, source):
    """Returns a file's stated `Spec` after a check against its tensors: a wrong one would build another network."""
    if said.skip == "none":  # its tensors are the same as option A's
        seen = replace(seen, skip="none", shortcut=said.shortcut)
    if max(said.depths) == 1 and {said.shortcut, seen.shortcut} == {"B", "C"}:  # every block is its stage's first
        seen = replace(seen, shortcut=said.shortcut)
    if len(said.depths) == 1 and said.block != "bottleneck" and {said.shortcut, seen.shortcut} == {"A", "B"}:
        seen = replace(seen, shortcut=said.shortcut)  # no block changes the shape
    if not said.preactivation and said.layer.normalization == "batch":  # a normalization follows every convolution
        seen = variant(seen, conv_bias=said.implementation.conv_bias)
    name = first_different_option(said, seen, IN_WEIGHTS)
    if name:
        here = f"{name}={said.option(name)!r}"
        raise ValueError(f"{source}: says that its network has {here}, its tensors have {seen.option(name)!r}")
    return said


def _check_classifier(arrays, spec, source):
    """Checks the number of features that the classifier takes, because a wrong one would be dropped silently."""
    last = spec.widths[-1]
    features = {"basic": last, "bottleneck": 4 * last, "single": LAST_WIDTH}[spec.block]
    if "logits/kernel" in arrays and arrays["logits/kernel"].shape[0] != features:
        taken = arrays["logits/kernel"].shape[0]
        raise ValueError(f"{source}: its classifier takes {taken} features, its network returns {features}")


def _float32(value, path):
    if value.dtype.kind != "f":
        raise ValueError(f"{path} holds {value.dtype}, not floating-point numbers")
    return value.astype(np.float32, copy=False)


def fold_biases(arrays: Arrays) -> None:
    """Folds the bias of a convolution before a normalization into the mean: BN(x + b) is BN(x) with mean - b."""
    for path in [path for path in arrays if path.endswith("/bias")]:
        layer = path.removesuffix("/bias")
        normalization = f"{layer}_bn" if layer.endswith("_proj") else "bn".join(layer.rsplit("conv", 1))
        mean = f"{normalization}/moving_mean"
        if normalization != layer and mean in arrays:
            arrays[mean] = (arrays[mean].astype(np.float64) - arrays.pop(path)).astype(np.float32)


Exponents = dict[str, dict[str, int]]  # {normalization layer: {channel: n}}


def fold_epsilon(arrays: Arrays, epsilon: float) -> Exponents:
    """Folds the difference of two epsilons into the variances, so that variance + epsilon is unchanged.

    A variance that would become negative is multiplied by 4 ** n before, and its gamma by 2 ** n, which changes no bit
    of gamma.

    Returns:
        n of these channels, which `unfold_epsilon` takes.

    Raises:
        ValueError: variance + epsilon is 0, or such a variance has no gamma.
    """
    exponents: Exponents = {}
    for path in [path for path in arrays if path.endswith("/moving_variance") and epsilon != EPSILON]:
        layer, gamma = path.removesuffix("/moving_variance"), path.replace("/moving_variance", "/gamma")
        variance = arrays[path].astype(np.float64)
        folded = variance + (epsilon - EPSILON)
        if folded.min() < 0:
            whole = variance + epsilon
            if gamma not in arrays:
                raise ValueError(f"{path}: a variance below {EPSILON - epsilon:g} cannot take another epsilon in")
            if whole.min() <= 0:
                raise ValueError(f"{path}: a variance of {variance.min():g} cannot be normalized with {epsilon=:g}")
            numbers = np.where(folded < 0, np.ceil(np.log2(EPSILON / whole) / 2), 0.0)
            folded = np.where(folded < 0, np.maximum(whole * 4.0**numbers - EPSILON, 0.0), folded)
            arrays[gamma] = (arrays[gamma] * 2.0**numbers).astype(np.float32)
            exponents[layer] = {str(channel): int(numbers[channel]) for channel in np.flatnonzero(numbers)}
        arrays[path] = folded.astype(np.float32)
    return exponents


def unfold_epsilon(arrays: Arrays, epsilon: float, exponents: Exponents) -> None:
    """Reverses `fold_epsilon`: an epsilon of 0 gives the bits of the variances again."""
    for path in [path for path in arrays if path.endswith("/moving_variance") and epsilon != EPSILON]:
        layer, gamma = path.removesuffix("/moving_variance"), path.replace("/moving_variance", "/gamma")
        numbers = np.zeros(arrays[path].shape)
        for channel, number in exponents.get(layer, {}).items():
            numbers[int(channel)] = number
        whole = (arrays[path].astype(np.float64) + EPSILON) / 4.0**numbers
        arrays[path] = (whole - epsilon).astype(np.float32)
        if numbers.any():
            arrays[gamma] = (arrays[gamma] / 2.0**numbers).astype(np.float32)


def fit_to(pretrained: Pretrained, shapes: dict[str, tuple[int, ...]], source: str) -> Arrays:
    """Returns the arrays that fit a model's variables.

    A classifier of another shape is omitted, and the first kernel is adapted to the model's channels.

    Args:
        pretrained: the weights.
        shapes: {variable's path: shape} of the model.
        source: name of the weights, for error messages.

    Raises:
        ValueError: the model takes another number of channels than the first kernel, which is not for RGB.
    """
    arrays = dict(pretrained.arrays)
    kernel = arrays.get("logits/kernel")
    if kernel is None or kernel.shape != shapes.get("logits/kernel"):
        arrays = {path: value for path, value in arrays.items() if not path.startswith("logits/")}
    # A network that returns only its stages has no layers after the last stage.
    arrays = {path: value for path, value in arrays.items() if path in shapes or not path.startswith("last_")}
    first = _first_kernel(arrays)
    if first in shapes and shapes[first][2] != arrays[first].shape[2]:
        arrays[first] = adapt_channels(arrays[first], shapes[first][2], source)
    return arrays


def is_of_detector(path: str) -> bool:
    """Returns whether a variable belongs to the heads of a detector, not to its trunk."""
    return path.startswith(("fpn_", "rpn_", "box_", "mask_"))


def image_channels(arrays: Arrays) -> int:
    """Returns the number of image channels that the first convolution takes."""
    return arrays[_first_kernel(arrays)].shape[2]


def _first_kernel(arrays):
    return "stem_conv1/kernel" if "stem_conv1/kernel" in arrays else "stem_conv/kernel"


def adapt_channels(kernel: np.ndarray, channels: int, source: str) -> np.ndarray:
    """kernel (h, w, 3, out) -> (h, w, channels, out), as in timm.

    One channel gets the sum of the three. More channels repeat those of RGB, scaled by 3 / channels.

    Raises:
        ValueError: the kernel does not take 3 channels.
    """
    if kernel.shape[2] != 3:
        raise ValueError(f"{source}: takes {kernel.shape[2]} channels, which cannot become {channels}")
    if channels == 1:
        return kernel.sum(2, keepdims=True)
    repeated = np.tile(kernel, (1, 1, -(-channels // 3), 1))[:, :, :channels]
    return repeated * np.float32(3 / channels)
