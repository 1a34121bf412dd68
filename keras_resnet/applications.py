"""Provides constructors with keras.applications' signature: `ResNet50(include_top=True, weights=None, ...)`."""

import sys
from collections.abc import Callable
from dataclasses import replace

import keras
from keras import activations, layers

from keras_resnet import builder
from keras_resnet.description import ImageSize, Interpolation, height_and_width
from keras_resnet.detectors import DETECTORS
from keras_resnet.errors import suggest
from keras_resnet.model import ResNetModel, preprocess
from keras_resnet.options import Shortcut, Version
from keras_resnet.specs import SPECS, Spec, variant
from keras_resnet.weights.conversion import Pretrained
from keras_resnet.weights.loading import check_network, load_pretrained, set_pretrained
from keras_resnet.weights.published import entries

_DOC = """Instantiates the network `{name}`: images (N, H, W, 3) in [0, 255] -> scores (N, classes).

    The arguments are those of keras.applications, and `version`, `shortcut` and `include_preprocessing`. Unlike in
    keras.applications, `weights` is None by default, and the model's first layer preprocesses the images. For other
    options use `keras_resnet.build`, whose models return logits instead of softmax scores.

    Args:
        include_top: whether to include pooling and the classifier. If False, the model returns the last feature map
            (N, H', W', C).
        weights: None (random initialization), "imagenet" (the file that keras.applications publishes), a name of
            `keras-resnet list --weights`, or any value that `from_weights` accepts. The model then has the version,
            shortcut and preprocessing that the weights were trained with.
        input_tensor: Keras tensor to use as images; with `include_preprocessing` its values must be in [0, 255].
        input_shape: (H, W, C) of one image, H and W may be None. The default is the weights' input shape, else
            ({side}, {side}, 3); without top, H and W are None.
        pooling: without top, None, "avg" or "max". With "avg" and "max" the model returns (N, C) instead of a feature
            map.
        classes: number of classes, with top; default the weights' or the paper's. If it differs from the weights'
            number, the classifier is new.
        classifier_activation: activation of the classifier, with top; None returns logits.
        name: name of the model.
        version: "1" (He et al. 2015), "1.5" (stride on the 3x3 convolution) or "2" (He et al. 2016); also as a number.
        shortcut: "A", "B" or "C" (He et al. 2015, section 4.1).
        include_preprocessing: whether the first layer subtracts the mean of ImageNet (or of the weights) and divides by
            the standard deviation.

    Returns:
        A `ResNetModel`, a functional `keras.Model` with `description`.

    Raises:
        ValueError: the value of an argument is not allowed; the message names the argument.
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
    version: Version | float | None = None,
    shortcut: Shortcut | None = None,
    include_preprocessing: bool = True,
    model_name: str | None = None,
) -> ResNetModel:
    """Instantiates any network of `SPECS` by name: images (N, H, W, 3) in [0, 255] -> scores (N, classes).

    `create_model("resnet50")` is equivalent to `ResNet50()`: the model returns softmax scores. With
    `classifier_activation=None` it returns logits, like the models of `build`.

    Args:
        name: name of a network, see `list_models()`, or of published weights to load, see `list_weights()`.
        weights: None (random initialization), "imagenet", a name of published weights, or any value that
            `from_weights` accepts.
        classes: number of classes; default the weights' or the paper's. If it differs from the weights' number, the
            classifier is new.
        features_only: return the stages' outputs, {"stage1": (N, H/4, W/4, C1), ...}; see `feature_info`.
        include_top, input_tensor, input_shape, pooling, classifier_activation, version, shortcut,
            include_preprocessing: as for `ResNet50`.
        model_name: name of the model; default the network's name.

    Returns:
        A `ResNetModel`, a functional `keras.Model` with `description`.

    Raises:
        ValueError: the network does not exist, or an argument does not fit it.
    """
    if name in entries():
        if weights is not None:
            raise ValueError(f"weights={weights!r}: {name} names weights already")
        name, weights = entries()[name].network, name
    if name in DETECTORS:
        raise ValueError(f"{name} is a detector; `keras-resnet predict` and `train` take its weights")
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
    """Creates the constructor of an entry of `SPECS`."""

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
        version: Version | float | None = None,
        shortcut: Shortcut | None = None,
        include_preprocessing: bool = True,
    ) -> ResNetModel:
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
    image_size: ImageSize | None = None,
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
) -> ResNetModel:
    """Instantiates the network of a weights file: images (N, H, W, 3) in [0, 255] -> scores (N, classes).

    The architecture is inferred from the tensors. Options that tensors do not show are taken from the source of the
    weights; assumptions are printed to stderr. `model.description` contains the result.

    Args:
        weights: a file (safetensors, or HDF5 as Keras writes it), a folder in the layout of the Hugging Face Hub with
            the weights and config.json of timm, transformers or this package, "hf://OWNER/NAME", a tf-models-official
            checkpoint prefix, or a name of `keras-resnet list --weights`.
        mean, std: per channel, RGB, in the units of images in [0, 255]. These and the next four arguments take
            precedence over the values of the source.
        image_size: height and width in pixels, or one number for both, of the images that the weights were trained or
            tested with.
        crop_pct: an image is resized to just cover image_size / crop_pct before the center crop.
        interpolation: interpolation of that resizing, "bilinear" or "bicubic".
        epsilon: epsilon of the batch normalization that the weights were trained with.
        classifier_activation, include_top, input_tensor, input_shape, pooling, classes, name, include_preprocessing:
            as for `ResNet50`. If `classes` differs from the file's number, the classifier is new.

    Returns:
        A `ResNetModel`, a functional `keras.Model` with `description`.

    Raises:
        ValueError: the file cannot be read, or does not belong to a network of this package.
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
    if pretrained.description.thresholds and include_top and classifier_activation == "softmax":
        print(f'{weights}: has several labels; classifier_activation="sigmoid" returns its scores', file=sys.stderr)
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
    """Builds a network with the preprocessing and head that keras.applications' arguments select, and sets its weights.

    Without `pretrained`, the weights keep their random initialization.
    """
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
        size = preprocessing.image_size or spec.image_size
        sides = height_and_width(size) if include_top else (None, None)
        channels = pretrained.channels if pretrained else 3
        input_shape = (channels, *sides) if first else (*sides, channels)
    inputs, images = builder.model_input(spec, input_shape, input_tensor)
    arguments = {
        "include_top": include_top,
        "pooling": pooling,
        "classifier_activation": activations.serialize(activations.get(classifier_activation)),
        "include_preprocessing": include_preprocessing,
    }
    description = builder.with_images(replace(description, arguments=arguments), images)
    stages, x = builder.features(preprocess(images, description), spec, dropout=spec.dropout)
    if features_only:
        x = stages
    elif include_top:
        x = builder.head(x, classes or (pretrained and pretrained.classes) or spec.classes, spec.dropout)
        if classifier_activation is not None:
            x = layers.Activation(classifier_activation, dtype=x.dtype, name="predictions")(x)
    elif pooling:
        x = (layers.GlobalAveragePooling2D if pooling == "avg" else layers.GlobalMaxPooling2D)(name="pool")(x)
    model = ResNetModel(inputs, x, name=name or spec.name)
    if pretrained and set_pretrained(model, pretrained):
        model.description = replace(description, labels=())  # a new classifier
    return model


def _by_depth(prefix: str, title: str):
    """Creates the constructor of the CIFAR networks whose names are `prefix` and a number of layers."""
    depths = {int(row.removeprefix(prefix)): row for row in SPECS if row.startswith(prefix)}

    def constructor(depth: int, **kwargs) -> ResNetModel:
        if depth not in depths:
            raise ValueError(f"depth must be one of {', '.join(map(str, depths))}, got {depth!r}")
        return _application(depths[depth], title)(**kwargs)

    constructor.__name__ = constructor.__qualname__ = title
    constructor.__doc__ = f"""images (N, 32, 32, 3) in [0, 255] -> scores (N, 10): the network `{prefix}<depth>`.

    Args:
        depth: {", ".join(map(str, depths))} layers.
        **kwargs: as for `ResNet50`.

    Raises:
        ValueError: there is no network of that depth, or the value of an argument is not allowed.
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
    """Returns `x` unchanged, because the first layer of these models preprocesses images in [0, 255].

    This function exists so that code written for keras.applications runs unchanged.
    """
    return x


def decode_predictions(preds, top=5):
    """Decodes scores (N, 1000) into `top` tuples (WordNet id, label, score) for each image, best first.

    The class names are those of keras.applications, which downloads them once.

    Args:
        preds: array (N, 1000) of scores or logits.
        top: number of classes to return for each image.

    Returns:
        A list of N lists of tuples.

    Raises:
        ValueError: the shape of `preds` is not (N, 1000).
    """
    return keras.applications.resnet.decode_predictions(preds, top=top)
