"""Evaluates a detector for `keras-resnet evaluate`: with COCO's metrics or Pascal VOC's average precision."""

from collections.abc import Iterator
from functools import partial

from keras_resnet.detection.voc_metrics import voc_metrics
from keras_resnet.reports import distinct
from keras_resnet.training import evaluation

PRINTED_CLASSES = 100  # the report has a table of any number


class Evaluation(evaluation.Evaluation):
    """The evaluation of one detector on a split: see `keras_resnet.training.evaluation.Evaluation`.

    | protocol | metrics |
    |---|---|
    | coco | average precision and recall by pycocotools |
    | voc07, voc12 | average precision as in `keras_resnet.detection.voc_metrics` |
    """

    def _collector(self, task):
        if self._protocol == "coco":
            self._collected = task.collector(self._split)
        else:
            measure = partial(voc_metrics, classes=len(task.labels), protocol=self._protocol)
            self._collected = task.collector_of(self._split, measure)
        return self._collected

    def measured(self) -> dict:
        """Returns the metrics for JSON, and those of each class under "classes"."""
        return super().measured() | {"classes": {row.pop("class"): row for row in self.class_rows()}}

    def _classes(self):
        measured = self._collected.measured
        return measured.classes if measured else ()

    def class_rows(self) -> list[dict]:
        """Returns a row for each class: its metrics, and its numbers of objects and detections."""
        return [
            {"class": label}
            | each.values
            | {"objects": each.objects, "ignored": each.ignored, "detections": each.detections}
            for label, each in zip(distinct(self._task.labels), self._classes(), strict=True)
        ]

    def lines(self) -> Iterator[str]:
        """Yields the metrics as text, one a line, and a table of the classes."""
        yield from super().lines()
        left_out = self._task.sizes[self._split] - len(self._collected.images)
        if left_out:
            yield f"{left_out} unreadable images are skipped"
        rows = self.class_rows()
        if len(rows) > PRINTED_CLASSES:
            yield f"{len(rows)} classes: classes.csv of --report=FOLDER lists them"
            return
        names = list(self._classes()[0].values)
        width = max(len("class"), *(len(row["class"]) for row in rows))
        yield (
            f"{'class':<{width}}  " + "  ".join(f"{self._task.metrics[name].short:>8}" for name in names) + "  objects"
        )
        for row in rows:
            values = (f"{'' if row[name] is None else self._task.metrics[name].text(row[name]):>8}" for name in names)
            yield f"{row['class']:<{width}}  " + "  ".join(values) + f"  {row['objects']:>7,}"

    def write_report(self, folder: str, figures: dict) -> list[str]:
        """Writes tables and plots, with `figures` as evaluation.json, and returns their paths."""
        from keras_resnet.detection import report

        return report.write_report(
            folder, self._task, self._split, self._collected, super().measured(), self.class_rows(), figures
        )
