"""Pools the features of RoIs from the maps of a detector."""

from collections.abc import Callable

import tensorflow as tf

from keras_resnet.boxes.roi_align import assign_levels, roi_align
from keras_resnet.boxes.roi_pool import roi_pool


def image_by_image(function: Callable, batches, shapes):
    """Batches of N images -> the tuple of tensors that a function of such batches returns, one image at a time.

    The features of an image's RoIs take much more memory than its other tensors: 0.9 GB for 1,000 RoIs of 7 x 7 x 256.

    Args:
        function: arguments as `batches`, with N = 1 -> a tuple of tensors (1, ...) float32.
        batches: tensors (N, ...), or structures of them.
        shapes: of the function's tensors, without N.
    """
    if tf.nest.flatten(batches)[0].shape[0] == 1:
        return function(*batches)

    def of_image(rows):
        found = function(*tf.nest.map_structure(lambda each: each[None], rows))
        return tf.nest.map_structure(lambda each: each[0], found)

    specs = tuple(tf.TensorSpec(shape) for shape in shapes)
    return tf.map_fn(of_image, batches, fn_output_signature=specs, parallel_iterations=1)


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
