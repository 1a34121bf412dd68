"""Evaluates a multi-label classifier for `keras-resnet evaluate`, at the thresholds of its weights."""

import os
from collections.abc import Callable, Iterator

import numpy as np
from matplotlib.figure import Figure

from keras_resnet.multilabel.collector import Collector
from keras_resnet.multilabel.metrics import by_class, constant_map
from keras_resnet.reports import write_csv
from keras_resnet.training import evaluation

SHOWN_CLASSES = 40  # in the plot


class Evaluation(evaluation.Evaluation):
    """The evaluation of one network on a split: see `keras_resnet.training.evaluation.Evaluation`."""

    def __init__(self, strategy, split: str, protocol: str, scales: tuple[int, ...], track: Callable):
        super().__init__(strategy, split, protocol, scales, track)
        self._collected: Collector | None = None

    def _collector(self, task) -> Collector:
        self._collected = Collector(task.description.thresholds)
        return self._collected

    def lines(self) -> Iterator[str]:
        """Yields the metrics as text, one a line."""
        yield from super().lines()
        collected = self._collected
        assert collected
        if not len(collected.kept) or not collected.targets.any():
            yield "no image has a label, so there is no mAP and no F1"
            return
        constant = constant_map(collected.targets)
        yield f"{len(collected.kept):,} images; the mAP of a constant answer is {constant:.4f}"
        absent = int((~collected.targets.any(0)).sum())
        if absent:
            yield f"{absent:,} classes without an image are left out of mAP and F1"
        left_out = self._task.sizes[self._split] - len(collected.kept)
        if left_out:
            yield f"{left_out} unreadable images are skipped"

    def write_report(self, folder: str, content: dict) -> list[str]:
        """Writes evaluation.json, classes.csv, errors.csv and classes.png, and returns their paths."""
        paths, collected = super().write_report(folder, content), self._collected
        assert collected
        targets, scores, labels = collected.targets, collected.scores, self._task.labels
        rows = by_class(targets, scores, collected.thresholds, labels)
        paths.append(write_csv(os.path.join(folder, "classes.csv"), rows))
        errors = self._errors(targets, scores, collected)
        paths.append(write_csv(os.path.join(folder, "errors.csv"), errors, ("image", "missed", "wrong")))
        paths.append(os.path.join(folder, "classes.png"))
        draw_classes(paths[-1], rows)
        return paths

    def _errors(self, targets, scores, collected):
        """Returns a row per image whose answer is not its labels, the one with the largest cross entropy first."""
        labels, source = self._task.labels, self._task.images.split(self._split).source
        answers = scores >= collected.thresholds
        right = np.clip(np.where(targets, scores, 1 - scores), 1e-30, 1)
        order = np.argsort(np.log(right).sum(1), kind="stable")
        return [
            {
                "image": source(int(collected.kept[i])),
                "missed": " | ".join(labels[k] for k in np.flatnonzero(targets[i] & ~answers[i])),
                "wrong": " | ".join(labels[k] for k in np.flatnonzero(answers[i] & ~targets[i])),
            }
            for i in order
            if (answers[i] != targets[i]).any()
        ]


def draw_classes(path: str, rows: list[dict]) -> None:
    """Draws average precision and F1 of the classes, the worst ones if there are many, into a PNG file."""
    known = [row for row in rows if row["average_precision"] is not None]
    shown = sorted(known, key=lambda row: row["average_precision"])[:SHOWN_CLASSES]
    figure = Figure(figsize=(6, 1.2 + 0.25 * len(shown)), layout="constrained")
    axes = figure.subplots()
    places = np.arange(len(shown))
    bars = (("average_precision", "average precision", "#0072B2"), ("f1", "F1 at the threshold", "#D55E00"))
    for i, (name, label, color) in enumerate(bars):
        axes.barh(places + 0.4 * i - 0.2, [row[name] for row in shown], 0.4, color=color, label=label)
    axes.set_yticks(places, [row["class"] for row in shown], parse_math=False)
    axes.set(xlim=(0, 1))
    axes.invert_yaxis()
    figure.legend(frameon=False, loc="outside lower center", ncols=2)
    figure.savefig(path, dpi=130)
