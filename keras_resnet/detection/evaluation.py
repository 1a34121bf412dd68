"""Evaluates a detector for `keras-resnet evaluate`: with the metrics of COCO, Pascal VOC or ImageNet DET."""

from collections.abc import Callable, Iterator
from functools import partial

from keras_resnet.detection.improvements import ImprovedDetector, answers_of
from keras_resnet.detection.voc_metrics import voc_metrics
from keras_resnet.errors import ConfigError
from keras_resnet.reports import distinct
from keras_resnet.training import evaluation
from keras_resnet.training.metrics import Evaluator

PRINTED_CLASSES = 100  # the report has a table of any number


class Evaluation(evaluation.Evaluation):
    """The evaluation of a detector, or of an ensemble, on a split: see `keras_resnet.training.evaluation.Evaluation`.

    | protocol | metrics |
    |---|---|
    | coco | average precision and recall by pycocotools |
    | voc07, voc12, imagenet_det | average precision as in `keras_resnet.detection.voc_metrics` |
    """

    ensembles = True

    def __init__(self, strategy, split: str, protocol: str, scales: tuple[int, ...], track: Callable, refine=False):
        super().__init__(strategy, split, protocol, scales, track)
        self._scales, self._refine = scales, refine
        self._models: list = []

    def add(self, task, model, path: str) -> None:
        """Adds a detector, which is evaluated with the others when the results are asked for.

        Raises:
            ConfigError: it does not fit the detectors before it.
        """
        if not self._models:
            self._task = task
        elif answers_of(model) != answers_of(self._models[0]):
            raise ConfigError(f"{path}: has other classes, another image size or other masks than the first detector")
        elif _images(task, self._split) != _images(self._task, self._split):
            first, own = self._task.config.data.name, task.config.data.name
            raise ConfigError(
                f"{path}: has other {self._split} images ({own}) than the first detector ({first}); name those of all "
                f"detectors, as in --set=data.name={first}"
            )
        self._models.append(model)

    def _evaluate(self):
        """Evaluates the detectors, once."""
        if self._measured is not None:
            return
        task, model = self._task, self._models[0]
        if len(self._models) > 1 or self._refine or self._scales:
            with self._strategy.scope():
                model = ImprovedDetector(self._models, self._refine, self._scales)
            task.image_shape = (*model.image_size, task.image_shape[2])
        collector = self._collector(task)
        self._measured = Evaluator(task, model, self._strategy)(self._split, collector, self._track)

    def _collector(self, task):
        if self._protocol == "coco":
            self._collected = task.collector(self._split)
        else:
            measure = partial(voc_metrics, classes=len(task.labels), protocol=self._protocol)
            self._collected = task.collector_of(self._split, measure)
        return self._collected

    def measured(self) -> dict:
        """Returns the metrics for JSON, and those of each class under "classes"."""
        self._evaluate()
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
        self._evaluate()
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

    def write_report(self, folder: str, content: dict) -> list[str]:
        """Writes tables and plots, with `content` as evaluation.json, and returns their paths."""
        from keras_resnet.detection import report

        return report.write_report(
            folder, self._task, self._split, self._collected, super().measured(), self.class_rows(), content
        )


def _images(task, split):
    """Returns the locations of the images of a split."""
    images = task.images.split(split)
    return [images.source(i) for i in range(images.size)]
