"""Spec -> keras.Model: preprocessing, stem, stages, head."""

import sys
from dataclasses import replace

import keras
from keras import initializers, layers

from keras_resnet.blocks import activate, block, channel_axis, conv, norm, pad
from keras_resnet.description import IMAGENET_MEAN, IMAGENET_STD, Description, Preprocessing, check_units
from keras_resnet.model import ResNetModel
from keras_resnet.preprocessing import preprocess
from keras_resnet.specs import Spec

# Keras walks a graph with a call inside a call for every layer, also when it loads a saved model. ResNet-1202 has some
# 4,000 of them, and Python allows 1,000 calls.
sys.setrecursionlimit(max(sys.getrecursionlimit(), 20_000))


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
) -> ResNetModel:
    """images (N, H, W, 3) in [0, 255] -> logits (N, classes), or a dict of the stages' outputs.

    It returns logits, where `ResNet50` and `create_model` return softmax scores unless told otherwise.

    Args:
        spec: a row of `SPECS`, or one derived from a row.
        classes: number of classes; default the row's own (1000 or 10).
        features_only: leave the head off: {"stage1": (N, H/4, W/4, C1), ...}, for version 2 before the network's last
            normalization; see `feature_info`.
        input_shape: (H, W, C) of one image, H and W may be None; default 224 or 32 square, RGB.
        input_tensor: Keras tensor to build upon, in place of a new input. It is treated as images:
            with `include_preprocessing` it must hold values in [0, 255].
        include_preprocessing: subtract `mean` and divide by `std` in the model's first layer.
        mean, std: per channel, in the units of the images. Images with other than 3 channels: the first
            three channels take the three values, any further one their average; 1 or 2 channels (gray,
            gray and alpha) take the average alone.

    Raises:
        ValueError: `classes` is below 1, `input_shape` is not (H, W, C), or `mean` and `std` are not in the units of
            images in [0, 255].
    """
    check_classes(classes, features_only)
    check_units(mean, std)
    inputs, images = model_input(spec, input_shape, input_tensor)
    arguments = {"include_top": not features_only, "include_preprocessing": include_preprocessing}
    description = replace(new_description(spec, mean, std), arguments=arguments)
    stages, x = features(preprocess(images, with_images(description, images)), spec)
    outputs = stages if features_only else head(x, classes or spec.classes, spec)
    return ResNetModel(inputs, outputs, name=spec.name)


def check_classes(classes: int | None, features_only: bool = False) -> None:
    """Checks the number of classes that a caller asks for.

    Raises:
        ValueError: it is below 1, or given for a network without a head.
    """
    if classes is not None and (isinstance(classes, bool) or not isinstance(classes, int) or classes < 1):
        raise ValueError(f"classes must be a whole number of 1 or more, or None for the network's own, got {classes!r}")
    if classes is not None and features_only:
        raise ValueError(f"classes={classes!r}: a network with features_only=True has no classifier")


def new_description(spec: Spec, mean=IMAGENET_MEAN, std=IMAGENET_STD) -> Description:
    """The description of a network without weights, tested as its paper does: CIFAR's images are not cropped."""
    crop_pct = 1.0 if spec.stem == "cifar" else Preprocessing.crop_pct
    return Description(spec=spec, preprocessing=Preprocessing(mean=mean, std=std, crop_pct=crop_pct))


def build_described(description: Description, image_size: int | None = None) -> ResNetModel:
    """The network of a description: images (N, H, W, C) in [0, 255] -> logits (N, classes).

    Args:
        description: with labels, and with the size and channels of its images.
        image_size: height and width of the images; default the description's. 0: of any size.
    """
    preprocessing = description.preprocessing
    side = (preprocessing.image_size if image_size is None else image_size) or None
    model = build(
        description.spec,
        classes=len(description.labels),
        input_shape=(side, side, preprocessing.channels),
        mean=preprocessing.mean,
        std=preprocessing.std,
    )
    model.description = replace(description, arguments=model.description.arguments)
    return model


def with_images(description: Description, images) -> Description:
    """The description with the channels of a model's images (N, H, W, C), and their size where it is fixed."""
    first = channel_axis() == 1
    side = images.shape[2 if first else 1] if len(images.shape) == 4 else None
    size = side or description.preprocessing.image_size
    preprocessing = replace(description.preprocessing, image_size=size, channels=images.shape[channel_axis()])
    return replace(description, preprocessing=preprocessing)


def model_input(spec, input_shape=None, input_tensor=None):
    """Returns what the model is called with, and the tensor of images (N, H, W, C) that it starts from."""
    if input_tensor is not None:
        if not keras.utils.is_keras_tensor(input_tensor):
            raise ValueError(f"input_tensor must be a Keras tensor, such as keras.Input gives, got {input_tensor!r}")
        return keras.utils.get_source_inputs(input_tensor), input_tensor
    if input_shape is None:
        input_shape = (spec.image_size, spec.image_size)
        input_shape = (3, *input_shape) if channel_axis() == 1 else (*input_shape, 3)
    if len(input_shape) != 3 or input_shape[channel_axis() - 1] is None:
        order = "(C, H, W)" if channel_axis() == 1 else "(H, W, C)"
        raise ValueError(f"input_shape must be {order} with a known number of channels, got {input_shape}")
    images = keras.Input(input_shape, name="images")
    return images, images


def features(x, spec):
    """Preprocessed images -> ({"stage1": ..., ...}, what the head reads (N, H/32, W/32, C))."""
    x = stem(x, spec)
    stages: dict = {}
    blocks = 0
    for i, (width, depth) in enumerate(zip(spec.widths, spec.depths, strict=True), 1):
        halving = halving_block(spec, i)
        if i > 1 and spec.transition == "pool":
            x = transition(x, spec, width, f"stage{i}")
        for j in range(1, depth + 1):
            blocks += 1
            drop_rate = spec.drop_path_rate * blocks / sum(spec.depths)
            x = block(x, spec, width, 2 if j == halving else 1, f"stage{i}_block{j}", i, j, drop_rate)
        stages[f"stage{i}"] = x
    if spec.preactivation:
        x = activate(norm(x, spec, "last_bn"), spec, f"last_{spec.activation}")
    if spec.last_width:
        x = activate(conv(x, spec, 1, spec.last_width, 1, "last_conv"), spec, f"last_{spec.activation}")
    return stages, x


def halving_block(spec, stage):
    """The number of a stage's block that has stride 2, 0 for none."""
    if spec.transition == "pool":
        return 0
    if spec.stride_at == "last":
        return spec.depths[stage - 1] if stage < len(spec.depths) else 0
    return 1 if stage > 1 else 0


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
            x = activate(norm(x, spec, f"stem_bn{number}"), spec, f"stem_{spec.activation}{number}")
    return x if spec.stem == "cifar" else stem_pool(x, spec)


def stem_pool(x, spec):
    """3x3 max pooling of stride 2 whose border never wins: zeros after a ReLU, else the image's own edge."""
    if spec.padding == "same":
        return layers.MaxPooling2D(3, strides=2, padding="same", name="stem_pool")(x)
    first, second = (axis for axis in (1, 2, 3) if axis != channel_axis())
    zeros = not spec.preactivation or spec.pool_border == "zero"
    x = pad(x, {first: (1, 1), second: (1, 1)}, "stem_pool_pad", "constant" if zeros else "symmetric")
    return layers.MaxPooling2D(3, strides=2, name="stem_pool")(x)


def transition(x, spec, width, name):
    """(N, H, W, C) -> (N, H/2, W/2, width): how the stages of Srivastava et al. 2015 begin."""
    x = layers.MaxPooling2D(2, name=f"{name}_pool")(x)
    if spec.dropout:
        x = layers.Dropout(spec.dropout, name=f"{name}_dropout")(x)
    return activate(conv(x, spec, 3, width, 1, f"{name}_conv"), spec, f"{name}_{spec.activation}")


def head(x, classes, spec):
    """(N, H, W, C) -> logits (N, classes), in the variables' precision also under mixed precision."""
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    if spec.dropout:
        x = layers.Dropout(spec.dropout, name="dropout")(x)
    return layers.Dense(
        classes,
        kernel_initializer=initializers.RandomNormal(stddev=0.01),
        dtype=keras.config.dtype_policy().variable_dtype,
        name="logits",
    )(x)
