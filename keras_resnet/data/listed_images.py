"""Makes data sets of images that lists name and that have annotations in Pascal VOC's format."""

import os
from collections import Counter
from collections.abc import Callable, Mapping

import numpy as np

from keras_resnet.config import Data
from keras_resnet.data.held_out import complete
from keras_resnet.data.image_set import Finding, ImageSet
from keras_resnet.data.objects import missing_images, require_files, split_of_files
from keras_resnet.data.split_lists import ImageList, Layout, read_lists
from keras_resnet.data.threads import map_in_threads
from keras_resnet.data.voc_annotations import Annotated, objects_of
from keras_resnet.errors import ConfigError

Found = dict[str, list[tuple[ImageList, Annotated]]]  # of each split


def read_annotated(
    data: Data, layout: Layout, read: Callable[[str, str, str], Annotated], counts: Counter[str]
) -> Found:
    """Returns the annotated images of each split, each with the list that names it.

    Args:
        data: the configuration.
        layout: of the data set.
        read: (folder, name of an image, its annotation file) -> the image.
        counts: as for `read_lists`.

    Raises:
        ConfigError: the folder, or a list, does not exist.
        DataError: a list or an annotation cannot be read, or an image is in two lists.
    """
    if not os.path.isdir(data.name.partition(":")[2]):
        raise ConfigError(f"data.name: {data.name}: no such folder")
    found: Found = {}
    for split, lists in read_lists(data, layout, counts).items():
        found[split] = []
        for each in lists:
            require_files(each.path, "annotations", each.annotations)
            rows = [(each.folder, *row) for row in zip(each.names, each.annotations, strict=True)]
            found[split] += [(each, image) for image in map_in_threads(lambda row: read(*row), rows)]
    return found


def annotated_set(
    data: Data, found: Found, class_of: Mapping[str, int], labels: tuple[str, ...], counts: Counter[str]
) -> ImageSet:
    """Returns the data set of annotated images; missing images are its `problems`.

    Args:
        data: the configuration.
        found: the images of each split.
        class_of: {name of an object in annotations: its class}.
        labels: the names of the classes.
        counts: of what was left out; receives those of the findings.
    """
    findings = tuple(
        Finding(kind, split, source, what)
        for split, images in found.items()
        for _, image in images
        for kind, source, what in image.problems
    )
    counts.update(finding.kind for finding in findings)
    problems = [
        problem
        for split, images in found.items()
        for listed, image in images
        for problem in missing_images(listed.path, split, [image.path])
    ]
    splits = {
        split: split_of_files(
            [image.path for _, image in images],
            [objects_of(image, class_of) for _, image in images],
            np.array([image.stated_size for _, image in images]),
        )
        for split, images in found.items()
    }
    return ImageSet(
        data.name,
        labels,
        (None, None, 3),
        complete(splits, data.validation_fraction, data.test_fraction),
        counts,
        target="boxes",
        findings=findings,
        problems=tuple(problems),
    )
