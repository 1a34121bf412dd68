"""Converts weights of any source to this package's format, or to a file that torchvision or timm loads.

    keras-resnet convert-weights SOURCE TARGET [--to=keras|torchvision|timm]
    keras-resnet convert-weights resnet50-0676ba61.pth resnet50.safetensors
    keras-resnet convert-weights runs/latest/weights/best.safetensors timm.safetensors --to=timm

SOURCE: a file (safetensors, HDF5 or PyTorch), a Hugging Face Hub folder, a tf-models-official checkpoint prefix, or a
name from `keras-resnet list --weights`. The file can be a training script's checkpoint; if it contains plain and
averaged weights, --which=ema selects the averaged weights.
TARGET: a .safetensors file; with --to=keras also a .weights.h5 file for `keras.Model.load_weights`.
"""

import hashlib
import math
import os
import sys

from absl import flags

from keras_resnet.commands.entry import one_of
from keras_resnet.commands.weights_flags import define_weights_flags, preprocessing_flags
from keras_resnet.description import size_text
from keras_resnet.errors import ConfigError, DiskError

NAMINGS = ("keras", "torchvision", "timm")
WHICH_WEIGHTS = ("plain", "ema")
NATIVE, HDF5 = ".safetensors", ".weights.h5"


def define_flags(options: flags.FlagValues) -> None:
    """Defines the command's flags."""
    flags.DEFINE_string("to", "keras", "Format of TARGET: keras, torchvision or timm.", flag_values=options)
    flags.DEFINE_float(
        "epsilon", None, "Epsilon of the source's batch normalization, if it is unusual.", flag_values=options
    )
    flags.DEFINE_string(
        "which", None, "Which weights of a checkpoint with both: plain (the default) or ema.", flag_values=options
    )
    flags.DEFINE_boolean("overwrite", False, "Replace TARGET.", flag_values=options)
    define_weights_flags(options)


def main(options, arguments):
    """Converts the weights after checking that every tensor fits the network."""
    if len(arguments) != 2:
        raise ConfigError("expected SOURCE and TARGET, for example: convert-weights model.pth model.safetensors")
    source, target = arguments
    one_of("--to", options.to, NAMINGS, "format")
    if options.which is not None:
        one_of("--which", options.which, WHICH_WEIGHTS)
    _check_target(target, options.to, options.overwrite)
    given = preprocessing_flags(options)

    from keras_resnet.applications import assemble
    from keras_resnet.commands.runs import built_detector
    from keras_resnet.weights.loading import load_pretrained
    from keras_resnet.weights.native import save_weights

    try:
        pretrained = load_pretrained(
            source, **given, epsilon=options.epsilon, torch_allowed=True, which=options.which, detectors=True
        )
        if pretrained.description.detector:
            model = built_detector(pretrained)
        else:
            with_classes = bool(pretrained.classes)
            model = assemble(pretrained.spec, pretrained, include_top=with_classes, classifier_activation=None)
        if target.endswith(HDF5):
            model.save_weights(target)
        else:
            save_weights(model, target, to=options.to)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    except OSError as error:
        raise DiskError(f"{error.filename or target}: {error.strerror}") from None
    for line in pretrained.assumed:
        print(f"assumed: {line}", file=sys.stderr)
    _tell(pretrained, model, target)


def _check_target(target, to, overwrite):
    other = HDF5 if to == "keras" else NATIVE
    if not target.endswith((NATIVE, other)):
        allowed = f"a {NATIVE} file" if other == NATIVE else f"a {NATIVE} or a {other} file"
        raise ConfigError(f"{target}: with --to={to}, expected the name of {allowed}")
    if os.path.exists(target) and not overwrite:
        raise ConfigError(f"{target}: already exists; name another, or add --overwrite")
    if not os.path.isdir(os.path.dirname(target) or "."):
        raise ConfigError(f"{target}: there is no folder {os.path.dirname(target)}")


def _tell(pretrained, model, target):
    spec, preprocessing = pretrained.spec, pretrained.description.preprocessing
    flavour = ", aligned as tf-models-official" if spec.implementation.padding == "same" else ""
    classes = f"{pretrained.classes} classes" if pretrained.classes else "no classifier"
    if pretrained.description.detector:
        kind = "Mask R-CNN" if model.options.masks else "Faster R-CNN"
        classes = f"{kind} of {len(pretrained.description.labels)} classes"
    print(f"{target}: {spec.name}, version {spec.version}, shortcut {spec.shortcut}{flavour}, {classes}")
    print(f"  parameters  {sum(math.prod(v.shape) for v in model.trainable_variables):,}")
    for name in ("mean", "std"):
        print(f"  {name:<10}  {', '.join(f'{value:g}' for value in getattr(preprocessing, name))}")
    crop = f"{preprocessing.interpolation}, the central {preprocessing.crop_pct:.3g}"
    if preprocessing.resize == "letterbox":
        crop = "fitted into a square"
    print(
        f"  images      {size_text(preprocessing.image_size) if preprocessing.image_size else 'of any'} pixels, {crop}"
    )
    with open(target, "rb") as file:
        print(f"  sha256      {hashlib.file_digest(file, 'sha256').hexdigest()}")
