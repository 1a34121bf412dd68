"""Evaluates a localizer for `keras-resnet evaluate`: on one crop, or fully convolutionally at several scales."""

import os
from collections.abc import Callable, Iterator

import numpy as np

from keras_resnet.localization.collector import Answers, Collector, center_boxes, is_right
from keras_resnet.localization.dense import dense_outputs
from keras_resnet.reports import distinct, write_csv
from keras_resnet.training import evaluation


class Evaluation(evaluation.Evaluation):
    """The evaluation of one localizer on a split: see `keras_resnet.training.evaluation.Evaluation`.

    | protocol | views of an image |
    |---|---|
    | single | the center crop of the run's validation |
    | dense | the whole image at several scales, see `keras_resnet.localization.dense` |
    """

    def __init__(self, strategy, split: str, protocol: str, scales: tuple[int, ...], track: Callable):
        super().__init__(strategy, split, protocol, scales, track)
        self._scales = scales
        self._collected = Collector()

    def _collector(self, task) -> Collector:
        return self._collected

    def _measure(self, task, model) -> dict[str, float]:
        if self._protocol == "single":
            measured = super()._measure(task, model)
        else:
            for outputs in dense_outputs(task, model, self._strategy, self._split, self._scales, self._track):
                self._collected.add(outputs)
            measured = self._collected.metrics()
        if not measured:
            return {}
        right = _center_box_right(self._collected.answers(), task.mean_box_share)
        return measured | {"center_box_error": 100 * float(1 - right.mean())}

    def lines(self) -> Iterator[str]:
        """Yields the metrics as text, one a line."""
        yield from super().lines()
        answers = self._collected.answers()
        yield f"{len(answers.indices):,} images, k = {answers.classes.shape[1]}; a right box has an IoU of 0.5 or more"
        left_out = self._task.sizes[self._split] - len(answers.indices)
        if left_out:
            yield f"{left_out} unreadable images are skipped"

    def write_report(self, folder: str, content: dict) -> list[str]:
        """Writes `content` as evaluation.json, classes.csv and errors.csv, and returns their paths."""
        paths = super().write_report(folder, content)
        answers, labels = self._collected.answers(), distinct(self._task.labels)  # ImageNet has two cranes
        wrong = answers.wrong()
        classes = [
            {"class": label, "images": int(of_class.sum())}
            | {name: 100 * float(each[of_class].mean()) if of_class.any() else None for name, each in wrong.items()}
            for label, of_class in ((label, answers.labels == i) for i, label in enumerate(labels))
        ]
        source = self._task.images.split(self._split).source
        rows = [
            {
                "image": source(int(answers.indices[row])),
                "class": labels[answers.labels[row]],
                "found": labels[answers.classes[row, 0]],
                "wrong": ", ".join(name for name, each in wrong.items() if each[row]),
            }
            for row in np.flatnonzero(np.any(list(wrong.values()), axis=0))
        ]
        return [
            *paths,
            write_csv(os.path.join(folder, "classes.csv"), classes),
            write_csv(os.path.join(folder, "errors.csv"), rows, ("image", "class", "found", "wrong")),
        ]


def _center_box_right(answers: Answers, share: np.ndarray) -> np.ndarray:
    """Returns whether a box of the mean size of training boxes is right in the middle of each image, (N,) bool."""
    return is_right(center_boxes(answers.sizes, share), answers.true_boxes, answers.valid)[:, 0]
