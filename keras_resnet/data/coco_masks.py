"""Reads the masks of COCO's annotations: polygons, and run lengths as lists or compressed."""

import math

import numpy as np

from keras_resnet.data import run_lengths
from keras_resnet.errors import ConfigError, one_line

NO_MASK = "mask cannot be used"
LEAST_NUMBERS = 6  # of a polygon: three corners; pycocotools takes one of four numbers for a box


def read_mask(segmentation: object, height: float, width: float) -> bytes:
    """Returns the run lengths of an annotation's `segmentation` in an image of this size.

    Raises:
        ValueError: it is neither polygons nor run lengths of this size; the message says what is wrong.
        ConfigError: pycocotools, which draws polygons, is not installed.
    """
    if isinstance(segmentation, dict):
        return _of_runs(segmentation, int(height), int(width))
    if not isinstance(segmentation, list) or not segmentation:
        raise ValueError(f"segmentation {_shown(segmentation)}; expected polygons or run lengths")
    for i, polygon in enumerate(segmentation):
        if not isinstance(polygon, list) or len(polygon) < LEAST_NUMBERS or len(polygon) % 2:
            raise ValueError(f"polygon {i} is {_shown(polygon)}; expected x and y of three corners or more")
        if not all(isinstance(value, int | float) and math.isfinite(value) and abs(value) < 1e6 for value in polygon):
            raise ValueError(f"polygon {i} is {_shown(polygon)}; expected finite numbers")
    masks = mask_tools()
    drawn = masks.merge(masks.frPyObjects(segmentation, int(height), int(width)))
    if not masks.area(drawn):
        raise ValueError(f"its polygons cover no pixel: {_shown(segmentation)}")
    content: bytes = drawn["counts"]
    return content


def _of_runs(segmentation, height, width):
    size, counts = segmentation.get("size"), segmentation.get("counts")
    if size != [height, width]:
        raise ValueError(f"run lengths of the size {_shown(size)}; expected that of the image, [{height}, {width}]")
    if isinstance(counts, str):
        content = counts.encode("latin-1", "replace")
        runs = run_lengths.decompress(content)
    elif isinstance(counts, list) and all(isinstance(run, int) and 0 <= run < 2**31 for run in counts):
        runs = np.array(counts, np.int64)
        content = run_lengths.compress(runs) if counts else b""
    else:
        raise ValueError(f"counts {_shown(counts)}; expected a string or numbers from 0")
    if runs.sum() != height * width:
        raise ValueError(f"run lengths of {runs.sum():,} pixels; expected {height} x {width}")
    if not runs[1::2].sum():
        raise ValueError("its run lengths have no pixel of the object")
    return content


def mask_tools():
    """Returns pycocotools' module of masks.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        from pycocotools import mask
    except ImportError:
        raise ConfigError("masks need pycocotools: pip install 'keras_resnet[detection]'") from None
    return mask


def _shown(value):
    return one_line(repr(value), 60)
