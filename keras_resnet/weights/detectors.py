"""Loads the weights of whole detectors, of this package, torchvision and Detectron2, and writes torchvision's."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from keras_resnet.description import Description, Preprocessing
from keras_resnet.detectors import COCO, COCO_CATEGORIES, COCO_LABELS, DETECTORS, TORCHVISION, DetectorRow
from keras_resnet.specs import variant
from keras_resnet.weights import detectron2_names, torch_names, torchvision_detector_names
from keras_resnet.weights.conversion import (
    Arrays,
    Pretrained,
    convert,
    fold_epsilon,
    is_of_detector,
    unfold_epsilon,
)
from keras_resnet.weights.formats import EPSILON


def is_detector(names: set[str]) -> bool:
    """Returns whether tensors belong to a detector, by their names."""
    return "rpn_scores/kernel" in names or any(
        each.matches(names) for each in (torchvision_detector_names, detectron2_names)
    )


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
    metadata, given = dict(metadata or {}), dict(given or {})
    if detectron2_names.matches({*tensors}):
        return _of_detectron2(tensors, source, given)
    if not torchvision_detector_names.matches({*tensors}):
        return _native(tensors, source, metadata, given)
    trunk, heads = torchvision_detector_names.split(tensors)
    said = Description.from_metadata(metadata)
    about = _about(heads, said if said and said.detector else None, row)
    try:
        options = {**about.options, **torchvision_detector_names.shown_options(heads)}
        arrays = torchvision_detector_names.rename(heads, options)
    except KeyError as error:
        raise ValueError(f"{source}: no tensor for {error.args[0]}") from None
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from None
    preprocessing = Preprocessing(image_size=about.image_size, crop_pct=1.0, channels=3, resize="letterbox")
    preprocessing = said.preprocessing if said and said.detector else preprocessing
    found = convert(trunk, source, preprocessing=preprocessing, given=given)
    old = torchvision_detector_names.is_old({*tensors})
    known = row in DETECTORS or (said and said.detector)
    if epsilon is None:
        epsilon = about.epsilon if known else 0.0 if old else EPSILON
    conversion = {}
    if epsilon != EPSILON:
        conversion = {"epsilon": epsilon, "exponents": fold_epsilon(found.arrays, epsilon)}
    description = replace(
        found.description, detector=options, labels=about.labels, conversion=conversion, source=source
    )
    assumed = () if known else _assumed(epsilon, old, about, description.preprocessing)
    return replace(
        found, arrays=found.arrays | arrays, description=description, classes=None, assumed=found.assumed + assumed
    )


def _of_detectron2(tensors, source, given):
    """Returns the weights of a detector of Detectron2; of 80 classes, they are COCO's."""
    try:
        design = detectron2_names.design(tensors)
        trunk, heads = torchvision_detector_names.split(detectron2_names.as_torchvision(tensors))
        shown = torchvision_detector_names.shown_options(heads, design)
        by_design = detectron2_names.OPTIONS_BY_DESIGN[design]
        options = {**shown, **detectron2_names.OPTIONS, **by_design, "unused_outputs": 0}
        arrays = torchvision_detector_names.rename(heads, options)
    except KeyError as error:
        raise ValueError(f"{source}: no tensor for {error.args[0]}") from None
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from None
    found = convert(trunk, source, preprocessing=detectron2_names.PREPROCESSING, given=given)
    classes = torchvision_detector_names.classes(heads)
    spec = found.spec
    if spec.block == "bottleneck" and spec.groups == 1:  # ResNeXt has the stride in the 3x3 convolution there too
        spec = variant(spec, stride_in="1x1")
    description = replace(
        found.description,
        spec=spec,
        detector=options,
        labels=COCO_LABELS if classes == len(COCO_LABELS) else tuple(map(str, range(classes))),
        source=source,
    )
    assumed = (
        f"images are fitted into a square of {description.preprocessing.image_size} pixels",
        "RoIAlign takes 2 x 2 points in each bin; Detectron2 takes more in large boxes",
    )
    return replace(
        found, arrays=found.arrays | arrays, description=description, classes=None, assumed=found.assumed + assumed
    )


def _about(heads, said, row):
    """Returns what the tensors do not show: from the description in their file, the table, or the number of outputs."""
    if said:
        return DetectorRow(
            options=said.detector, labels=said.labels, epsilon=said.conversion.get("epsilon", EPSILON), image_size=0
        )
    if row in DETECTORS:
        return DETECTORS[row]
    classes = torchvision_detector_names.classes(heads)
    if classes == len(COCO_CATEGORIES):
        return DetectorRow(options=TORCHVISION | COCO)
    return DetectorRow(options=TORCHVISION | {"unused_outputs": 0}, labels=tuple(map(str, range(classes))))


def _assumed(epsilon, old, about, preprocessing):
    """Returns lines about what the tensors do not show."""
    why = ", as the published files with the old names have it" if old else ""
    lines = [
        f"epsilon of the trunk's batch normalization is {epsilon:g}{why}; convert-weights has --epsilon",
        f"images are fitted into a square of {preprocessing.image_size} pixels",
    ]
    if about.options["unused_outputs"]:
        lines.append("91 outputs are COCO's 80 classes, 10 numbers of no class and the background")
    return tuple(lines)


def _native(tensors, source, metadata, given):
    """Returns the weights of a detector that this package wrote."""
    found = convert(
        {path: value for path, value in tensors.items() if not is_of_detector(path)}, source, metadata, given=given
    )
    if not found.description.detector:
        raise ValueError(f"{source}: has layers of a detector, but no description of it; save it with save_weights")
    heads = {path: value for path, value in tensors.items() if is_of_detector(path)}
    return replace(found, arrays=found.arrays | heads, classes=None)


def trunk_of(pretrained: Pretrained) -> Pretrained:
    """Returns the weights of a detector's trunk alone, as those of a network without a classifier."""
    about = pretrained.description
    trunk = replace(
        about,
        preprocessing=Preprocessing(mean=about.preprocessing.mean, std=about.preprocessing.std),
        labels=(),
        detector={},
        conversion={},
    )
    arrays = {path: value for path, value in pretrained.arrays.items() if not is_of_detector(path)}
    return replace(pretrained, arrays=arrays, description=trunk)


def torchvision_state(arrays: Arrays, description: Description) -> Arrays:
    """Renames {path: array} of a detector to torchvision's names and layout, for its strict loading.

    Raises:
        ValueError: torchvision has no such detector.
    """
    options, conversion = description.detector, description.conversion
    if options.get("design", "fpn") != "fpn":
        raise ValueError(f"{description.spec.name}: torchvision has no detectors of design {options['design']}")
    expected = {name: TORCHVISION[name] for name in ("anchor_convention", "roi_aligned", "background_outputs")}
    for name, value in {**expected, "mask_stem_features": False, "context": False}.items():
        if options.get(name, False) != value:
            raise ValueError(
                f"{description.spec.name}: its detector has {name}={options.get(name)!r}, torchvision's have {value!r}"
            )
    arrays, epsilon = dict(arrays), conversion.get("epsilon", EPSILON)
    unfold_epsilon(arrays, epsilon, conversion.get("exponents", {}))
    trunk = {path: value for path, value in arrays.items() if not is_of_detector(path)}
    state = torch_names.renamed_for(trunk, description.spec, "torchvision")
    if epsilon != EPSILON:  # torchvision has constant normalization there, which counts nothing
        state = {name: value for name, value in state.items() if not name.endswith(torch_names.COUNTER)}
    heads = torchvision_detector_names.renamed_for(arrays, options)
    return {f"{torchvision_detector_names.TRUNK}{name}": value for name, value in state.items()} | heads
