"""Loads the weights of whole detectors, of this package and of torchvision, and writes torchvision's."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import keras

from keras_resnet.description import Description, Preprocessing
from keras_resnet.detectors import COCO_CATEGORIES, DETECTORS, TORCHVISION, DetectorRow
from keras_resnet.weights import torch_names, torchvision_detector_names
from keras_resnet.weights.conversion import (
    Arrays,
    Pretrained,
    convert,
    fold_epsilon,
    is_of_detector,
    unfold_epsilon,
)
from keras_resnet.weights.formats import EPSILON
from keras_resnet.weights.native import assign_tensors, named_variables

# Layers with outputs for each class.
CLASS_LAYERS = ("box_scores/", "box_deltas/", "mask_scores/")


def is_detector(names: set[str]) -> bool:
    """Returns whether tensors belong to a detector, by their names."""
    return "rpn_scores/kernel" in names or torchvision_detector_names.matches(names)


def convert_detector(
    tensors: Arrays,
    source: str,
    metadata: Mapping[str, str] | None = None,
    *,
    row: str = "",
    given: Mapping[str, Any] | None = None,
    epsilon: float | None = None,
) -> Pretrained:
    """Converts the tensors of a detector to this package's names and layout, with its options and classes.

    Args:
        tensors: tensors by their original names.
        source: name of the weights, for error messages and the description.
        metadata: metadata strings of a file that this package wrote.
        row: name of the published detector in `DETECTORS`, if it is known.
        given: fields of `Preprocessing` from the user.
        epsilon: epsilon of the trunk's batch normalization, if the caller knows it.

    Raises:
        ValueError: the tensors do not belong to a detector of this package.
    """
    if not torchvision_detector_names.matches({*tensors}):
        return _native(tensors, source, dict(metadata or {}), dict(given or {}))
    old, known = torchvision_detector_names.is_old({*tensors}), DETECTORS.get(row)
    trunk, heads = torchvision_detector_names.split(tensors)
    try:
        options = torchvision_detector_names.shown_options(heads)
        outputs = torchvision_detector_names.outputs(heads)
        of_coco = outputs == 1 + len(COCO_CATEGORIES)
        options["unused_outputs"] = COCO_CATEGORIES.count("") if of_coco else 0
        arrays = torchvision_detector_names.rename(heads, options)
    except KeyError as error:
        raise ValueError(f"{source}: no tensor for {error.args[0]}") from None
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from None
    about = known or DetectorRow()
    size = Preprocessing(image_size=about.image_size, crop_pct=1.0, channels=3, resize="letterbox")
    found = convert(trunk, source, preprocessing=size, given=dict(given or {}))
    if epsilon is None:
        epsilon = known.epsilon if known else 0.0 if old else EPSILON
    conversion = {}
    if epsilon != EPSILON:
        conversion = {"epsilon": epsilon, "exponents": fold_epsilon(found.arrays, epsilon)}
    labels = about.labels if of_coco else tuple(map(str, range(outputs - 1)))
    description = replace(
        found.description, detector=TORCHVISION | options, labels=labels, conversion=conversion, source=source
    )
    assumed = () if known else _assumed(epsilon, old, of_coco, description.preprocessing)
    return replace(
        found, arrays=found.arrays | arrays, description=description, classes=None, assumed=found.assumed + assumed
    )


def _assumed(epsilon, old, of_coco, preprocessing):
    """Returns lines about what the tensors do not show."""
    why = ", as the published files with the old names have it" if old else ""
    lines = [
        f"epsilon of the trunk's batch normalization is {epsilon:g}{why}; convert-weights has --epsilon",
        f"images are fitted into a square of {preprocessing.image_size} pixels",
    ]
    return (*lines, *(["91 outputs are COCO's 80 classes, 10 unused numbers and the background"] if of_coco else []))


def _native(tensors, source, metadata, given):
    """Returns the weights of a detector that this package wrote."""
    found = convert(
        {path: value for path, value in tensors.items() if not is_of_detector(path)}, source, metadata, given=given
    )
    if not found.description.detector:
        raise ValueError(f"{source}: has layers of a detector, but no description of it; save it with save_weights")
    heads = {path: value for path, value in tensors.items() if is_of_detector(path)}
    return replace(found, arrays=found.arrays | heads, classes=None)


def set_detector(model: keras.Model, pretrained: Pretrained, reset_head: bool = False) -> tuple[str, ...]:
    """Sets a detector's variables to pretrained weights.

    Layers of classes keep their initialization if the number of classes differs, and so does a mask head that the
    weights lack. A mask head that the detector lacks is left out.

    Args:
        model: the detector.
        pretrained: the weights of a whole detector.
        reset_head: keep the initialization of the layers of classes in any case.

    Returns:
        The layers that keep their initialization.

    Raises:
        ValueError: the weights do not fit the model.
    """
    variables = named_variables(model)
    arrays = {
        path: value for path, value in pretrained.arrays.items() if path in variables or not path.startswith("mask_")
    }
    of_classes = {path for path in variables if path.startswith(CLASS_LAYERS)}
    same = all(path not in arrays or arrays[path].shape == tuple(variables[path].shape) for path in of_classes)
    new = {path for path in variables if path.startswith("mask_") and path not in arrays}
    if reset_head or not same:
        new |= of_classes
    assign_tensors(
        {path: variable for path, variable in variables.items() if path not in new},
        {path: value for path, value in arrays.items() if path not in new},
        pretrained.path,
    )
    return tuple(dict.fromkeys(path.partition("/")[0] for path in variables if path in new))


def torchvision_state(arrays: Arrays, description: Description) -> Arrays:
    """Renames {path: array} of a detector to torchvision's names and layout, for its strict loading.

    Raises:
        ValueError: torchvision has no such detector.
    """
    options, conversion = description.detector, description.conversion
    for name in ("anchor_convention", "roi_aligned", "background_outputs"):
        if options.get(name) != TORCHVISION[name]:
            raise ValueError(
                f"{description.spec.name}: its detector has {name}={options.get(name)!r}, torchvision's have "
                f"{TORCHVISION[name]!r}"
            )
    arrays, epsilon = dict(arrays), conversion.get("epsilon", EPSILON)
    unfold_epsilon(arrays, epsilon, conversion.get("exponents", {}))
    trunk = {path: value for path, value in arrays.items() if not is_of_detector(path)}
    state = torch_names.renamed_for(trunk, description.spec, "torchvision")
    if epsilon != EPSILON:  # torchvision has constant normalization there, which counts nothing
        state = {name: value for name, value in state.items() if not name.endswith(torch_names.COUNTER)}
    heads = torchvision_detector_names.renamed_for(arrays, options)
    return {f"{torchvision_detector_names.TRUNK}{name}": value for name, value in state.items()} | heads
