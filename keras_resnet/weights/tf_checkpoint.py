"""Reads arrays from TensorFlow 2 checkpoints. It is a separate module because it requires TensorFlow."""

import glob
import os

import numpy as np

from keras_resnet.errors import one_line


def read_tf_checkpoint(prefix: str) -> dict[str, np.ndarray]:
    """Reads the arrays of a checkpoint as {key: array}.

    Args:
        prefix: checkpoint prefix, such as "folder/ckpt-1".

    Raises:
        ValueError: the checkpoint is damaged, of TensorFlow 1, or declares arrays larger than its files.
    """
    import tensorflow as tf

    size = sum(os.path.getsize(path) for path in glob.glob(f"{glob.escape(prefix)}.data-*"))
    try:
        reader = tf.train.load_checkpoint(prefix)
        shapes, dtypes = reader.get_variable_to_shape_map(), reader.get_variable_to_dtype_map()
        if shapes and not any("/.ATTRIBUTES/" in key for key in shapes):
            raise ValueError(
                f"{prefix}: is a checkpoint of TensorFlow 1 (its first variable is {min(shapes)}); only those that "
                "TensorFlow 2's tf.train.Checkpoint writes can be read"
            )
        numbers = [key for key in shapes if dtypes[key].is_floating]
        declared = sum(int(np.prod(shapes[key], dtype=object)) * dtypes[key].size for key in numbers)
        if declared > size:
            raise ValueError(f"{prefix}: declares {declared:,} bytes of arrays in files of {size:,}")
        return {key: reader.get_tensor(key) for key in numbers}
    except (tf.errors.OpError, RuntimeError) as error:
        raise ValueError(f"{prefix}: not a complete checkpoint ({one_line(error)})") from None
