"""Builds a `keras.Model` from a `Spec`: preprocessing, stem, stages and head."""

import sys
import warnings
from dataclasses import replace
from numbers import Integral

import keras
from keras import initializers, layers

from keras_resnet import highway
from keras_resnet.blocks import activate, block, channel_axis, conv, norm, pad
from keras_resnet.description import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    Description,
    ImageSize,
    Preprocessing,
    check_units,
    height_and_width,
)
from keras_resnet.model import ResNetModel, preprocess
from keras_resnet.specs import Spec, check_training_arguments

# Keras traverses a graph recursively, one call per layer, also when it loads a saved model. ResNet-1202 has about 4,000
# layers, and Python allows 1,000 nested calls by default.
sys.setrecursionlimit(max(sys.getrecursionlimit(), 20_000))

STEM = "stem"  # key of the stem's output in the model of `with_stem`


def build(
    spec: Spec,
    *,
    classes: int | None = None,
    features_only: bool = False,
    input_shape: tuple | None = None,
    input_tensor=None,
    include_preprocessing: bool = True,
    mean: tuple[float, ...] = IMAGENET_MEAN,
    std: tuple[float, ...] = IMAGENET_STD,
    drop_path_rate: float = 0.0,
    zero_init_last_gamma: bool = False,
    dropout: float | None = None,
) -> ResNetModel:
    """images (N, H, W, 3) in [0, 255] -> logits (N, classes), or a dict of the stages' outputs.

    The model returns logits. The models of `ResNet50` and `create_model` return softmax scores by default.

    Args:
        spec: an entry of `SPECS`, or a `variant` of one.
        classes: number of classes; default the network's own (1000 or 10).
        features_only: return the stages' outputs without a head, {"stage1": (N, H/4, W/4, C1), ...}. In version 2 these
            are the values before the network's last normalization. See `feature_info`.
        input_shape: (H, W, C) of one image, H and W may be None; default (224, 224, 3) or (32, 32, 3).
        input_tensor: Keras tensor to use as images, instead of a new input. With `include_preprocessing` its
            values must be in [0, 255].
        include_preprocessing: subtract `mean` and divide by `std` in the model's first layer.
        mean, std: per channel, in the units of the images. For more than 3 channels, the first three use the
            three values and any further one their average. For 1 or 2 channels (gray, gray and alpha), all use
            the average.
        drop_path_rate: stochastic depth (Huang et al. 2016): drop rate of the last block; increases linearly from 0.
        zero_init_last_gamma: initialize the scale of each block's last normalization with 0, so that F = 0 (Goyal et
            al. 2017, section 5.1).
        dropout: dropout rate before the classifier, for `highway19` also in its transitions; default the network's own
            (0.2 for `highway19`, else 0).

    Raises:
        ValueError: `classes` is below 1, `input_shape` is not (H, W, C), `mean` and `std` are not in the units of
            images in [0, 255], or the network has no place for `drop_path_rate` or `zero_init_last_gamma`.
    """
    if not isinstance(spec, Spec):
        raise ValueError(f'spec must be a Spec, such as SPECS["resnet50"], got {spec!r}')
    check_classes(classes, features_only)
    check_units(mean, std)
    check_training_arguments(
        spec, drop_path_rate=drop_path_rate, zero_init_last_gamma=zero_init_last_gamma, dropout=dropout
    )
    dropout = spec.dropout if dropout is None else dropout
    inputs, images = model_input(spec, input_shape, input_tensor)
    arguments = {"include_top": not features_only, "include_preprocessing": include_preprocessing}
    description = replace(new_description(spec, mean, std), arguments=arguments)
    x = preprocess(images, with_images(description, images))
    stages, x = features(x, spec, drop_path_rate, zero_init_last_gamma, dropout)
    outputs = stages if features_only else head(x, classes or spec.classes, dropout)
    return ResNetModel(inputs, outputs, name=spec.name)


def build_stages(
    spec: Spec,
    first: int,
    input_shape: tuple[int, int, int],
    *,
    drop_path_rate: float = 0.0,
    zero_init_last_gamma: bool = False,
) -> keras.Model:
    """features (N, h, w, C) of stage `first` - 1 -> (N, h', w', C'), the input of the network's head.

    The layers have the names that they have in the whole network. In version 2, the network's last normalization and
    activation follow the last stage.

    Args:
        spec: the network.
        first: number of the first stage.
        input_shape: (h, w, C).
        drop_path_rate, zero_init_last_gamma: as for `build`.

    Raises:
        ValueError: the network has no such stage.
    """
    if spec.block == "single" or not 1 < first <= len(spec.depths):
        raise ValueError(f"{spec.name} has no stage {first} that could be built without those before it")
    inputs = keras.Input(input_shape, name="features")
    _, x = residual_stages(inputs, spec, first, drop_path_rate, zero_init_last_gamma)
    return keras.Model(inputs, x, name=f"{spec.name}_from_stage{first}")


def with_stem(model: ResNetModel) -> ResNetModel:
    """Returns a network with features_only=True that also returns `STEM`, the stem's output before its pooling.

    Raises:
        ValueError: the stem has no pooling.
    """
    pool = next((layer for layer in model.layers if layer.name.startswith("stem_pool")), None)
    if pool is None:
        raise ValueError(f"the stem of {model.name} has no pooling")
    return ResNetModel(model.input, {STEM: pool.input, **model.output}, name=model.name)


def without_last_stage(model: ResNetModel) -> ResNetModel:
    """Returns a network with features_only=True without its last stage, which `build_stages` builds alone."""
    *stages, _ = model.output
    return ResNetModel(model.input, {stage: model.output[stage] for stage in stages}, name=model.name)


def check_classes(classes: int | None, features_only: bool = False) -> None:
    """Checks the number of classes that the caller gives.

    Raises:
        ValueError: `classes` is not a whole number of 1 or more, or is given for a network without a head.
    """
    if classes is not None and (isinstance(classes, bool) or not isinstance(classes, int) or classes < 1):
        raise ValueError(f"classes must be a whole number of 1 or more, or None for the network's own, got {classes!r}")
    if classes is not None and features_only:
        raise ValueError(f"classes={classes!r}: a network with features_only=True has no classifier")


def new_description(spec: Spec, mean=IMAGENET_MEAN, std=IMAGENET_STD) -> Description:
    """Returns the description of a network without weights. CIFAR images are not cropped, as in the paper."""
    crop_pct = 1.0 if spec.stem == "cifar" else Preprocessing.crop_pct
    return Description(spec=spec, preprocessing=Preprocessing(mean=mean, std=std, crop_pct=crop_pct))


def build_described(description: Description, image_size: ImageSize | None = None, **training) -> ResNetModel:
    """Builds the network of a description: images (N, H, W, C) in [0, 255] -> logits (N, classes).

    Args:
        description: a description with labels, image size and channels.
        image_size: height and width of the images; default the description's. 0 allows any size.
        **training: `drop_path_rate`, `zero_init_last_gamma` and `dropout` of `build`.
    """
    preprocessing = description.preprocessing
    size = preprocessing.image_size if image_size is None else image_size
    model = build(
        description.spec,
        classes=len(description.labels),
        input_shape=(*(height_and_width(size) if size else (None, None)), preprocessing.channels),
        mean=preprocessing.mean,
        std=preprocessing.std,
        **training,
    )
    model.description = replace(description, arguments=model.description.arguments)
    return model


def with_images(description: Description, images) -> Description:
    """Returns the description with the channels of a model's images (N, H, W, C), and their size if it is fixed."""
    first = channel_axis() == 1
    sides = tuple(images.shape[2:] if first else images.shape[1:3]) if len(images.shape) == 4 else (None,)
    size = sides if all(sides) else description.preprocessing.image_size
    preprocessing = replace(description.preprocessing, image_size=size, channels=images.shape[channel_axis()])
    return replace(description, preprocessing=preprocessing)


def model_input(spec, input_shape=None, input_tensor=None):
    """Returns the model's inputs, and the tensor of images (N, H, W, C) that the network processes."""
    if input_tensor is not None:
        if not keras.utils.is_keras_tensor(input_tensor):
            kind = type(input_tensor).__name__
            raise ValueError(f"input_tensor must be a Keras tensor, such as keras.Input returns, got a {kind}")
        return keras.utils.get_source_inputs(input_tensor), input_tensor
    if input_shape is None:
        input_shape = (spec.image_size, spec.image_size)
        input_shape = (3, *input_shape) if channel_axis() == 1 else (*input_shape, 3)
    _check_input_shape(input_shape)
    images = keras.Input(input_shape, name="images")
    return images, images


def _check_input_shape(shape):
    order, channel = ("(C, H, W)", 0) if channel_axis() == 1 else ("(H, W, C)", 2)
    rank = isinstance(shape, tuple | list) and len(shape) == 3
    if not rank or not all(_is_size(side) or (side is None and i != channel) for i, side in enumerate(shape)):
        raise ValueError(f"input_shape must be {order}, where H and W may be None, got {shape!r}")
    if channel == 2 and shape[0] in (1, 3) and shape[2] > 16:
        warnings.warn(
            f"input_shape={tuple(shape)} is read as {order}, images of height {shape[0]} with {shape[2]} channels",
            stacklevel=2,
        )


def _is_size(side):
    return isinstance(side, Integral) and not isinstance(side, bool) and int(side) >= 1


def features(x, spec, drop_path_rate=0.0, zero_init_last_gamma=False, dropout=0.0):
    """preprocessed images (N, H, W, C) -> ({"stage1": ..., ...}, the head's input (N, H/32, W/32, C))."""
    x = stem(x, spec)
    if spec.block == "single":
        return highway.features(x, spec, dropout)
    return residual_stages(x, spec, 1, drop_path_rate, zero_init_last_gamma)


def residual_stages(x, spec, first, drop_path_rate=0.0, zero_init_last_gamma=False):
    """x (N, h, w, C) -> ({"stage<first>": ..., ...}, the head's input)."""
    stages: dict = {}
    blocks = sum(spec.depths[: first - 1])
    for i in range(first, len(spec.depths) + 1):
        halving = halving_block(spec, i)
        for j in range(1, spec.depths[i - 1] + 1):
            blocks += 1
            drop_rate = drop_path_rate * blocks / sum(spec.depths)
            stride, name = 2 if j == halving else 1, f"stage{i}_block{j}"
            x = block(x, spec, spec.widths[i - 1], stride, name, i, j, drop_rate, zero_init_last_gamma)
        stages[f"stage{i}"] = x
    if spec.preactivation:
        x = activate(norm(x, spec, "last_bn"), spec, f"last_{spec.layer.activation}")
    return stages, x


def halving_block(spec, stage):
    """Returns the number of a stage's block that has stride 2, or 0 if none has."""
    if spec.implementation.stride_at == "last":
        return spec.depths[stage - 1] if stage < len(spec.depths) else 0
    return 1 if stage > 1 else 0


def stride_of(spec: Spec, stage: int | None = None) -> int:
    """Returns the pixels of an image per cell of a stage's feature map; None is the last stage."""
    stride = 1 if spec.stem == "cifar" else 4
    for number in range(1, (stage or len(spec.depths)) + 1):
        halves = number > 1 if spec.block == "single" else halving_block(spec, number)
        stride *= 2 if halves else 1
    return stride


def stem(x, spec):
    """images -> (N, H/4, W/4, C) for ImageNet, (N, H, W, C) for CIFAR."""
    filters = spec.widths[0]
    convs = {
        "imagenet": [(7, filters, 2)],
        "deep": [(3, filters // 2, 2), (3, filters // 2, 1), (3, filters, 1)],
        "cifar": [(3, filters, 1)],
    }[spec.stem]
    for i, (kernel, width, stride) in enumerate(convs, 1):
        number = str(i) if len(convs) > 1 else ""
        normalized = not spec.preactivation or i < len(convs)
        x = conv(x, spec, kernel, width, stride, f"stem_conv{number}", normalized)
        if normalized:
            x = activate(norm(x, spec, f"stem_bn{number}"), spec, f"stem_{spec.layer.activation}{number}")
    return x if spec.stem == "cifar" else stem_pool(x, spec)


def stem_pool(x, spec):
    """Applies 3x3 max pooling of stride 2. The border is never the maximum: zeros after a ReLU, else x's edge."""
    if spec.implementation.padding == "same":
        return layers.MaxPooling2D(3, strides=2, padding="same", name="stem_pool")(x)
    first, second = (axis for axis in (1, 2, 3) if axis != channel_axis())
    zeros = not spec.preactivation or spec.implementation.pool_border == "zero"
    x = pad(x, {first: (1, 1), second: (1, 1)}, "stem_pool_pad", "constant" if zeros else "symmetric")
    return layers.MaxPooling2D(3, strides=2, name="stem_pool")(x)


def head(x, classes, dropout=0.0):
    """x (N, H, W, C) -> logits (N, classes), in the variables' dtype even under mixed precision."""
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    if dropout:
        x = layers.Dropout(dropout, name="dropout")(x)
    return layers.Dense(
        classes,
        kernel_initializer=initializers.RandomNormal(stddev=0.01),
        dtype=keras.config.dtype_policy().variable_dtype,
        name="logits",
    )(x)
