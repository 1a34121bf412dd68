"""Collects the answers for single images on the host, and computes the errors of localization (ILSVRC's).

| metric | an image is wrong if |
|---|---|
| `topk_localization_error` | none of the k (class, box) pairs has the true class and a right box |
| `top1_localization_error` | the first of them has not |
| `oracle_error` | the box that is predicted for the true class is not right |
| `error`, `topk_error` | the true class is not the first, or not among the k |

A box is right if it has an IoU of at least 0.5 with any of the image's boxes, in pixels of the original image.
"""

from dataclasses import dataclass

import numpy as np

from keras_resnet.boxes.iou import pairwise_iou

IOU = 0.5


@dataclass(frozen=True)
class Answers:
    """The answers for the N images of a split, without unreadable ones.

    Attributes:
        indices: (N,) positions in the split.
        labels: (N,) int32, the true classes.
        true_boxes: (N, R, 4) float32, y1 x1 y2 x2 in pixels of the original images.
        valid: (N, R) bool, false for padding.
        classes: (N, k) int32, best first.
        scores: (N, k) float32.
        boxes: (N, k, 4) float32, the box of each of these classes.
        oracle_boxes: (N, 4) float32, the box of the true class.
        sizes: (N, 2) float32, height and width of the images.
    """

    indices: np.ndarray
    labels: np.ndarray
    true_boxes: np.ndarray
    valid: np.ndarray
    classes: np.ndarray
    scores: np.ndarray
    boxes: np.ndarray
    oracle_boxes: np.ndarray
    sizes: np.ndarray

    @property
    def right_boxes(self) -> np.ndarray:
        """Returns whether each box is right, whatever its class, (N, k) bool."""
        return is_right(self.boxes, self.true_boxes, self.valid)

    @property
    def right_classes(self) -> np.ndarray:
        """Returns whether each class is the true one, (N, k) bool."""
        return self.classes == self.labels[:, None]

    def wrong(self) -> dict[str, np.ndarray]:
        """Returns {metric: whether each image is wrong (N,) bool}."""
        right, classes = self.right_boxes & self.right_classes, self.right_classes
        oracle = is_right(self.oracle_boxes[:, None], self.true_boxes, self.valid)[:, 0]
        return {
            "topk_localization_error": ~right.any(1),
            "oracle_error": ~oracle,
            "top1_localization_error": ~right[:, 0],
            "error": ~classes[:, 0],
            "topk_error": ~classes.any(1),
        }


def is_right(boxes, true_boxes, valid) -> np.ndarray:
    """boxes (N, B, 4), true boxes (N, R, 4), valid (N, R) -> (N, B) bool: an IoU of `IOU` or more with any of them."""
    return ((pairwise_iou(boxes, true_boxes).numpy() >= IOU) & valid[:, None]).any(-1)


def center_boxes(sizes: np.ndarray, share: np.ndarray) -> np.ndarray:
    """sizes (N, 2), share (2,) of height and width -> a box of that share in the middle of each image (N, 1, 4)."""
    half = sizes * share / 2
    return np.concatenate([sizes / 2 - half, sizes / 2 + half], axis=1)[:, None].astype(np.float32)


class Collector:
    """A `keras_resnet.task.Collector` of the answers for a split; it keeps 36 bytes for each pair."""

    def __init__(self):
        self._rows: list[dict[str, np.ndarray]] = []
        self._count = 0

    def add(self, outputs: dict) -> None:
        """Adds the rows of one step: the attributes of `Answers` but `indices`, and "weights", 0 for padding."""
        kept = np.flatnonzero(outputs["weights"])
        rows = {name: value[kept] for name, value in outputs.items() if name != "weights"}
        self._rows.append(rows | {"indices": self._count + kept})
        self._count += len(outputs["weights"])

    def answers(self) -> Answers:
        """Returns the collected answers."""
        return Answers(**{name: np.concatenate([rows[name] for rows in self._rows]) for name in self._rows[0]})

    def metrics(self) -> dict[str, float]:
        """Returns the errors in percent; none if no image could be read."""
        answers = self.answers()
        if not len(answers.indices):
            return {}
        return {name: 100 * float(wrong.mean()) for name, wrong in answers.wrong().items()}
