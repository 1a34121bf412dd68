"""Pools the features of RoIs from the maps of a detector."""

import tensorflow as tf

from keras_resnet.boxes.roi_align import assign_levels, roi_align
from keras_resnet.boxes.roi_pool import roi_pool


def roi_features(maps, boxes, size: int, options, canonical_size: float | None = None):
    """{level: features (N, h, w, C)}, boxes (N, R, 4) -> features of the boxes (N * R, size, size, C).

    Args:
        maps: by level; the stride of a level is 2 ** level.
        boxes: in pixels of the image.
        size: height and width of a box's features.
        options: the `DetectorOptions`.
        canonical_size: side of a box that belongs to `canonical_level`; default the option.
    """
    levels = sorted(maps)
    if options.pooling == "max":
        pooled = roi_pool(maps[levels[0]], 2 ** levels[0], boxes, size)
    else:
        canonical = canonical_size or options.canonical_size, options.canonical_level
        pooled = roi_align(
            [maps[level] for level in levels],
            [2**level for level in levels],
            boxes,
            assign_levels(boxes, levels[0], levels[-1], *canonical),
            output_size=size,
            sampling_ratio=options.sampling_ratio,
            aligned=options.roi_aligned,
        )
    return tf.reshape(pooled, [-1, size, size, pooled.shape[-1]])
