"""Constructors shaped like keras.applications': `ResNet50(include_top=True, weights=None, ...)`."""

import sys
from collections.abc import Callable
from dataclasses import replace

import keras
from keras import activations, layers

from keras_resnet import builder
from keras_resnet.description import Interpolation
from keras_resnet.errors import suggest
from keras_resnet.model import ResNetModel
from keras_resnet.preprocessing import preprocess
from keras_resnet.specs import SPECS, Shortcut, Spec, Version, variant
from keras_resnet.weights.conversion import Pretrained
from keras_resnet.weights.loading import check_network, load_pretrained, set_pretrained
from keras_resnet.weights.published import entries

_DOC = """images (N, H, W, 3) in [0, 255] -> scores (N, classes): the network `{name}`.

    The arguments of keras.applications, then three of the family's. Unlike there, `weights` is None unless
    given, and images are preprocessed by the model's first layer. For every other choice, `keras_resnet.build`, which
    returns logits where this returns softmax scores.

    Args:
        include_top: end with pooling and classifier; otherwise with the last feature map (N, H', W', C).
        weights: None (random), "imagenet" (keras.applications' published file), a name of
            `keras-resnet list --weights`, or what `from_weights` takes. Version, shortcut and preprocessing
            are then those that the weights were trained with.
        input_tensor: Keras tensor to build upon; with `include_preprocessing` its values are in [0, 255].
        input_shape: (H, W, C) of one image; default the weights', else ({side}, {side}, 3); without top of any size.
        pooling: without top, None, "avg" or "max": (N, C) instead of a feature map.
        classes: number of classes, with top; default the weights' or the paper's. Other than the weights': a new
            classifier.
        classifier_activation: on the logits, with top; None returns logits.
        name: the model's name.
        version: "1" (He et al. 2015), "1.5" (stride on the 3x3 convolution) or "2" (He et al. 2016).
        shortcut: "A", "B" or "C" (He et al. 2015, section 4.1).
        include_preprocessing: subtract ImageNet's mean (or the weights') and divide by its deviation in the first
            layer.

    Returns:
        A `keras.Model`.

    Raises:
        ValueError: an argument is not one of those named above; the message names it.
    """


def create_model(
    name: str,
    weights: str | None = None,
    classes: int | None = None,
    features_only: bool = False,
    *,
    include_top: bool = True,
    input_tensor=None,
    input_shape: tuple | None = None,
    pooling: str | None = None,
    classifier_activation: str | Callable | None = "softmax",
    version: Version | None = None,
    shortcut: Shortcut | None = None,
    include_preprocessing: bool = True,
    model_name: str | None = None,
) -> ResNetModel:
    """images (N, H, W, 3) in [0, 255] -> scores (N, classes): any network of `SPECS` by name.

    `create_model("resnet50")` is `ResNet50()`: it returns softmax scores; `classifier_activation=None` returns the
    logits, as `build` does.

    Args:
        name: see `list_models()`; or a name of published weights, see `list_weights()`, which are loaded then.
        weights: None (random), "imagenet", a name of published weights, or what `from_weights` takes.
        classes: number of classes; default the weights' or the paper's. Other than the weights': a new classifier.
        features_only: return the stages' outputs, {"stage1": (N, H/4, W/4, C1), ...}; see `feature_info`.
        include_top, input_tensor, input_shape, pooling, classifier_activation, version, shortcut,
            include_preprocessing: as for `ResNet50`.
        model_name: the model's name; default the network's.

    Raises:
        ValueError: there is no such network, or an argument does not fit it.
    """
    if name in entries():
        if weights is not None:
            raise ValueError(f"weights={weights!r}: {name} names weights already")
        name, weights = entries()[name].network, name
    if name not in SPECS:
        raise ValueError(f"unknown network {name!r}; {suggest(name, [*SPECS, *entries()])}")
    spec = variant(SPECS[name], version=version, shortcut=shortcut)
    pretrained = None
    if weights is not None:
        pretrained = load_pretrained(weights, SPECS[name])
        check_network(pretrained, spec, {"version": version, "shortcut": shortcut}, weights)
        spec = pretrained.spec
    return assemble(
        spec,
        pretrained,
        include_top=include_top,
        features_only=features_only,
        input_tensor=input_tensor,
        input_shape=input_shape,
        pooling=pooling,
        classes=classes,
        classifier_activation=classifier_activation,
        name=model_name or name,
        include_preprocessing=include_preprocessing,
    )


def _application(row: str, title: str):
    """Makes the constructor of a row of `SPECS`."""

    def constructor(
        include_top: bool = True,
        weights: str | None = None,
        input_tensor=None,
        input_shape: tuple | None = None,
        pooling: str | None = None,
        classes: int | None = None,
        classifier_activation="softmax",
        name: str = row,
        *,
        version: Version | None = None,
        shortcut: Shortcut | None = None,
        include_preprocessing: bool = True,
    ) -> keras.Model:
        return create_model(
            row,
            weights,
            classes,
            include_top=include_top,
            input_tensor=input_tensor,
            input_shape=input_shape,
            pooling=pooling,
            classifier_activation=classifier_activation,
            version=version,
            shortcut=shortcut,
            include_preprocessing=include_preprocessing,
            model_name=name,
        )

    constructor.__name__ = constructor.__qualname__ = title
    constructor.__doc__ = _DOC.format(name=row, side=SPECS[row].image_size)
    return constructor


def from_weights(
    weights: str,
    mean: tuple[float, ...] | None = None,
    std: tuple[float, ...] | None = None,
    classifier_activation="softmax",
    *,
    image_size: int | None = None,
    crop_pct: float | None = None,
    interpolation: Interpolation | None = None,
    epsilon: float | None = None,
    include_top: bool = True,
    input_tensor=None,
    input_shape: tuple | None = None,
    pooling: str | None = None,
    classes: int | None = None,
    name: str | None = None,
    include_preprocessing: bool = True,
) -> keras.Model:
    """images (N, H, W, 3) in [0, 255] -> scores (N, classes): the network that a file's tensors belong to.

    What the tensors do not show comes from their source; what is only assumed is printed. `model.description` says
    what it came to.

    Args:
        weights: a file (safetensors, or HDF5 as Keras writes it), a folder as the Hugging Face Hub keeps models of
            timm, transformers or this package, with its config.json, the beginning of a tf-models-official checkpoint's
            file names, or a name of `keras-resnet list --weights`.
        mean, std: per channel, RGB, in the units of images in [0, 255], where the caller knows them.
        image_size: height and width in pixels that the weights were trained or tested at, where the caller knows it.
        crop_pct: the shorter side is resized to image_size / crop_pct before the center is cropped.
        interpolation: of that resizing, "bilinear" or "bicubic".
        epsilon: of the batch normalization that the weights were trained with, where the caller knows it.
        classifier_activation, include_top, input_tensor, input_shape, pooling, classes, name, include_preprocessing:
            as for `ResNet50`; `classes` other than the file's gets a new classifier.

    Raises:
        ValueError: the file cannot be read, or is of no network of this family.
    """
    pretrained = load_pretrained(
        weights,
        mean=mean,
        std=std,
        image_size=image_size,
        crop_pct=crop_pct,
        interpolation=interpolation,
        epsilon=epsilon,
    )
    for line in pretrained.assumed:
        print(f"{weights}: assumed: {line}", file=sys.stderr)
    return assemble(
        pretrained.spec,
        pretrained,
        include_top=include_top,
        input_tensor=input_tensor,
        input_shape=input_shape,
        pooling=pooling,
        classes=classes,
        classifier_activation=classifier_activation,
        name=name,
        include_preprocessing=include_preprocessing,
    )


def assemble(
    spec: Spec,
    pretrained: Pretrained | None = None,
    *,
    include_top: bool = True,
    features_only: bool = False,
    input_tensor=None,
    input_shape: tuple | None = None,
    pooling: str | None = None,
    classes: int | None = None,
    classifier_activation: str | Callable | None = "softmax",
    name: str | None = None,
    include_preprocessing: bool = True,
) -> ResNetModel:
    """A network with preprocessing and head as keras.applications' arguments ask for, and with weights if there are."""
    if pooling not in (None, "avg", "max"):
        raise ValueError(f'pooling must be None, "avg" or "max", got {pooling!r}')
    builder.check_classes(classes, features_only)
    include_top = include_top and not features_only
    if include_top and pretrained and not (classes or pretrained.classes):
        raise ValueError(
            f"{pretrained.path}: has no classifier; classes=N makes a new one, include_top=False does without"
        )
    description = pretrained.description if pretrained else builder.new_description(spec)
    preprocessing = description.preprocessing
    first = keras.config.image_data_format() == "channels_first"
    if input_shape is None and input_tensor is None:
        side = (preprocessing.image_size or spec.image_size) if include_top else None
        channels = pretrained.channels if pretrained else 3
        input_shape = (channels, side, side) if first else (side, side, channels)
    inputs, images = builder.model_input(spec, input_shape, input_tensor)
    arguments = {
        "include_top": include_top,
        "pooling": pooling,
        "classifier_activation": activations.serialize(activations.get(classifier_activation)),
        "include_preprocessing": include_preprocessing,
    }
    description = builder.with_images(replace(description, arguments=arguments), images)
    stages, x = builder.features(preprocess(images, description), spec)
    if features_only:
        x = stages
    elif include_top:
        x = builder.head(x, classes or (pretrained and pretrained.classes) or spec.classes, spec)
        if classifier_activation is not None:
            x = layers.Activation(classifier_activation, dtype=x.dtype, name="predictions")(x)
    elif pooling:
        x = (layers.GlobalAveragePooling2D if pooling == "avg" else layers.GlobalMaxPooling2D)(name="pool")(x)
    model = ResNetModel(inputs, x, name=name or spec.name)
    if pretrained and set_pretrained(model, pretrained):
        model.description = replace(description, labels=())  # a new classifier
    return model


def _by_depth(prefix: str, title: str):
    """Makes the constructor of the CIFAR rows whose names are `prefix` and a number of layers."""
    depths = {int(row.removeprefix(prefix)): row for row in SPECS if row.startswith(prefix)}

    def constructor(depth: int, **kwargs) -> keras.Model:
        if depth not in depths:
            raise ValueError(f"depth must be one of {', '.join(map(str, depths))}, got {depth!r}")
        return _application(depths[depth], title)(**kwargs)

    constructor.__name__ = constructor.__qualname__ = title
    constructor.__doc__ = f"""images (N, 32, 32, 3) in [0, 255] -> scores (N, 10): the network `{prefix}<depth>`.

    Args:
        depth: {", ".join(map(str, depths))} layers.
        **kwargs: as for `ResNet50`.

    Raises:
        ValueError: there is no row of that depth, or an argument is wrong.
    """
    return constructor


ResNet18 = _application("resnet18", "ResNet18")
ResNet34 = _application("resnet34", "ResNet34")
ResNet50 = _application("resnet50", "ResNet50")
ResNet101 = _application("resnet101", "ResNet101")
ResNet152 = _application("resnet152", "ResNet152")
PlainNet18 = _application("plain18", "PlainNet18")
PlainNet34 = _application("plain34", "PlainNet34")
HighwayNet19 = _application("highway19", "HighwayNet19")
CIFARResNet = _by_depth("cifar_resnet", "CIFARResNet")
CIFARPlainNet = _by_depth("cifar_plain", "CIFARPlainNet")
CIFARPreResNet = _by_depth("cifar_preresnet", "CIFARPreResNet")
CIFARHighwayNet = _by_depth("cifar_highway", "CIFARHighwayNet")


def preprocess_input(x, data_format=None):
    """Images in [0, 255] -> the same images: preprocessing is the first layer of these models.

    It exists so that code written for keras.applications runs unchanged, and never alters `x`.
    """
    return x


def decode_predictions(preds, top=5):
    """Scores (N, 1000) -> for each image, `top` tuples (WordNet id, label, score), best first.

    The class names come from keras.applications, which downloads them once.

    Raises:
        ValueError: `preds` is not (N, 1000).
    """
    return keras.applications.resnet.decode_predictions(preds, top=top)
