"""Images that a run keeps in its folder, so that exporting it does not need its data set."""

import io
import zipfile

import numpy as np

from keras_resnet.files import read, write_aside

EXAMPLES, CALIBRATION = 100, 128  # images; int8 is judged by a hundred
BYTES = 32_000_000  # of both together: 212 images of 224 pixels


def keep_images(path: str, task) -> None:
    """Writes a few validation images and training images of a task, prepared for the network, as uint8."""
    fitting = BYTES // int(np.prod(task.image_shape))
    examples = task.example_images(min(EXAMPLES, max(1, fitting // 2)))
    calibration = task.calibration_images(min(CALIBRATION, max(1, fitting - len(examples))))
    content = io.BytesIO()
    np.savez_compressed(content, examples=_rounded(examples), calibration=_rounded(calibration))
    write_aside(path, content.getvalue())


def _rounded(images):
    return np.clip(np.rint(images), 0, 255).astype(np.uint8)


class KeptImages:
    """What `keep_images` wrote.

    Args:
        path: of the file.

    Raises:
        OSError: there is no such file.
        ValueError: it is damaged.
    """

    def __init__(self, path: str):
        try:
            with np.load(io.BytesIO(read(path)), allow_pickle=False) as arrays:
                self._examples, self._calibration = arrays["examples"], arrays["calibration"]
        except (KeyError, EOFError, zipfile.BadZipFile) as error:
            raise ValueError(f"{path}: is damaged ({error})") from None

    def example_images(self, count: int) -> np.ndarray:
        """At most `count` validation images (N, H, W, C) float32 in [0, 255]."""
        return self._examples[:count].astype(np.float32)

    def calibration_images(self, count: int) -> np.ndarray:
        """At most `count` training images, without augmentation."""
        return self._calibration[:count].astype(np.float32)
