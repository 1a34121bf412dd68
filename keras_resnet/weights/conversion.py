"""Other people's tensors -> this package's network and weights, exactly: nothing is rounded but to float32."""

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from keras_resnet.description import Description, Preprocessing
from keras_resnet.specs import IN_WEIGHTS, Spec
from keras_resnet.weights.architecture_inference import recognize
from keras_resnet.weights.formats import EPSILON, convention_of
from keras_resnet.weights.model_config import ModelConfig
from keras_resnet.weights.state_dict import Which, pick_network

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True, kw_only=True)
class Pretrained:
    """Weights and what they belong to.

    Attributes:
        path: what the user named: a file, or a name of published weights.
        arrays: {variable's path: float32 array}.
        description: the network and how images are made ready for it.
        classes: of the classifier, None where there is none.
        assumed: what neither the tensors nor their source say.
    """

    path: str
    arrays: Arrays
    description: Description
    classes: int | None
    assumed: tuple[str, ...] = ()

    @property
    def spec(self) -> Spec:
        """The network."""
        return self.description.spec

    @property
    def channels(self) -> int:
        """Of the images that the first convolution takes."""
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
    """Works out whose tensors these are and what network they belong to, and puts them into this package's terms.

    Args:
        tensors: by their own names, in any order.
        source: named in messages and in the description.
        metadata: the strings of a file that this package wrote.
        preprocessing: how images are made ready, where the publisher says it elsewhere.
        config: what files beside the weights say.
        given: fields of `Preprocessing` that the user knows better.
        epsilon: of the batch normalization that the weights were trained with, where the caller knows.
        which: "plain" or "ema" where there are both; see `pick_network`.

    Raises:
        ValueError: the tensors are not those of a network of this family.
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
    told = _told(preprocessing, spec, known | {*given})
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


def _told(preprocessing, spec, known):
    """What of the preprocessing nobody says, with the values that are taken and the arguments that change them."""
    told: tuple[str, ...] = ()
    if not {"mean", "std"} <= known:
        values = (", ".join(f"{value:g}" for value in each) for each in (preprocessing.mean, preprocessing.std))
        told += ("images are normalized by ImageNet's mean {} and std {}".format(*values),)
    taken = {
        "image_size": f"image_size {preprocessing.image_size or spec.image_size}",
        "crop_pct": f"crop_pct {preprocessing.crop_pct:g}",
        "interpolation": f"interpolation {preprocessing.interpolation}",
    }
    if missing := ", ".join(text for name, text in taken.items() if name not in known):
        told += (f"images are resized and cropped by {missing}, the default of such networks",)
    return told


def _labels(config, classes):
    """The class names that a file beside the weights has for the classifier."""
    if config.labels and classes and len(config.labels) != classes:
        raise ValueError(f"{config.path}: names {len(config.labels)} classes, the weights have {classes}")
    return config.labels if classes else ()


def _described(metadata, source):
    try:
        return Description.from_metadata(metadata)
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from None


def _agreed(said, seen, source):
    """What a file says of its network, held against its tensors: a wrong word must not build another network."""
    if said.skip == "none":  # no tensor tells it from option A
        seen = replace(seen, skip="none", shortcut=said.shortcut)
    for name in IN_WEIGHTS:
        if getattr(said, name) != getattr(seen, name):
            here = f"{name}={getattr(said, name)!r}"
            raise ValueError(f"{source}: says that its network has {here}, its tensors have {getattr(seen, name)!r}")
    return said


def _check_classifier(arrays, spec, source):
    """A classifier of other features would otherwise pass as one of other classes, and be left out without a word."""
    features = spec.last_width or spec.widths[-1] * (4 if spec.block == "bottleneck" else 1)
    if "logits/kernel" in arrays and arrays["logits/kernel"].shape[0] != features:
        taken = arrays["logits/kernel"].shape[0]
        raise ValueError(f"{source}: its classifier takes {taken} features, its network returns {features}")


def _float32(value, path):
    if value.dtype.kind != "f":
        raise ValueError(f"{path} holds {value.dtype}, not floating-point numbers")
    return value.astype(np.float32, copy=False)


def fold_biases(arrays: Arrays) -> None:
    """A convolution's bias right before a normalization becomes part of the mean: BN(x + b) is BN(x) with mean - b."""
    for path in [path for path in arrays if path.endswith("/bias")]:
        layer = path.removesuffix("/bias")
        normalization = f"{layer}_bn" if layer.endswith("_proj") else "bn".join(layer.rsplit("conv", 1))
        mean = f"{normalization}/moving_mean"
        if normalization != layer and mean in arrays:
            arrays[mean] = (arrays[mean].astype(np.float64) - arrays.pop(path)).astype(np.float32)


def fold_epsilon(arrays: Arrays, epsilon: float) -> None:
    """Moves the difference of two epsilons into the variances: var + epsilon stays what it was.

    Raises:
        ValueError: a variance would become negative.
    """
    for path in arrays:
        if path.endswith("/moving_variance") and epsilon != EPSILON:
            folded = arrays[path].astype(np.float64) + (epsilon - EPSILON)
            if folded.min() < 0:
                raise ValueError(f"{path}: a variance below {EPSILON - epsilon:g} cannot take another epsilon in")
            arrays[path] = folded.astype(np.float32)


def fit_to(pretrained: Pretrained, shapes: dict[str, tuple[int, ...]], source: str) -> Arrays:
    """The arrays that a model's variables take: without a head that it lacks, the first kernel for its channels.

    Args:
        pretrained: the weights.
        shapes: {variable's path: shape} of the model.
        source: named in messages.

    Raises:
        ValueError: the model takes another number of channels than can be made from RGB.
    """
    arrays = dict(pretrained.arrays)
    kernel = arrays.get("logits/kernel")
    if kernel is None or kernel.shape != shapes.get("logits/kernel"):
        arrays = {path: value for path, value in arrays.items() if not path.startswith("logits/")}
    # What follows the last stage: a network of stages alone has none of it.
    arrays = {path: value for path, value in arrays.items() if path in shapes or not path.startswith("last_")}
    first = _first_kernel(arrays)
    if first in shapes and shapes[first][2] != arrays[first].shape[2]:
        arrays[first] = adapt_channels(arrays[first], shapes[first][2], source)
    return arrays


def image_channels(arrays: Arrays) -> int:
    """Of the images that the first convolution takes."""
    return arrays[_first_kernel(arrays)].shape[2]


def _first_kernel(arrays):
    return "stem_conv1/kernel" if "stem_conv1/kernel" in arrays else "stem_conv/kernel"


def adapt_channels(kernel: np.ndarray, channels: int, source: str) -> np.ndarray:
    """(h, w, 3, out) -> (h, w, channels, out) as timm does: one channel takes the sum, more repeat RGB at 3 / channels.

    Raises:
        ValueError: the kernel is not RGB's.
    """
    if kernel.shape[2] != 3:
        raise ValueError(f"{source}: takes {kernel.shape[2]} channels, which cannot become {channels}")
    if channels == 1:
        return kernel.sum(2, keepdims=True)
    repeated = np.tile(kernel, (1, 1, -(-channels // 3), 1))[:, :, :channels]
    return repeated * np.float32(3 / channels)
