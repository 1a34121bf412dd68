"""Stores example and calibration images in a run's folder, so that exporting does not need the data set."""

import io
import zipfile

import numpy as np

from keras_resnet.files import read, write_atomically

EXAMPLES, CALIBRATION = 100, 128  # images; the int8 comparison needs a hundred
BYTES = 32_000_000  # of both together: 212 images of 224 pixels


def keep_images(path: str, task) -> None:
    """Writes a few preprocessed validation and training images of a task: uint8, or float32 of more than 3 channels."""
    stored = _rounded if task.image_shape[2] <= 3 else np.float32
    fitting = BYTES // int(np.prod(task.image_shape) * stored(0).nbytes)
    examples = task.example_images(min(EXAMPLES, max(1, fitting // 2)))
    calibration = task.calibration_images(min(CALIBRATION, max(1, fitting - len(examples))))
    content = io.BytesIO()
    np.savez_compressed(content, examples=stored(examples), calibration=stored(calibration))
    write_atomically(path, content.getvalue())


def _rounded(images):
    return np.clip(np.rint(images), 0, 255).astype(np.uint8)


class KeptImages:
    """Reads the images that `keep_images` wrote.

    Args:
        path: the file.

    Raises:
        OSError: the file does not exist.
        ValueError: the file is damaged.
    """

    def __init__(self, path: str):
        try:
            with np.load(io.BytesIO(read(path)), allow_pickle=False) as arrays:
                self._examples, self._calibration = arrays["examples"], arrays["calibration"]
        except (KeyError, EOFError, zipfile.BadZipFile) as error:
            raise ValueError(f"{path}: is damaged ({error})") from None

    def example_images(self, count: int) -> np.ndarray:
        """Returns at most `count` validation images (N, H, W, C) float32 in [0, 255]."""
        return self._examples[:count].astype(np.float32)

    def calibration_images(self, count: int) -> np.ndarray:
        """Returns at most `count` training images without augmentation, in the same form."""
        return self._calibration[:count].astype(np.float32)
