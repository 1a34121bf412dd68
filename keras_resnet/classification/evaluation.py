"""Evaluates networks for `keras-resnet evaluate`: with the papers' protocols, alone or as an ensemble."""

from collections.abc import Callable, Iterator

from keras_resnet.classification import metrics, protocols
from keras_resnet.errors import ConfigError


class Evaluation:
    """The evaluation of one or more networks on a split: see `keras_resnet.training.evaluation.Evaluation`."""

    ensembles = True

    def __init__(self, strategy, split: str, protocol: protocols.Protocol, scales: tuple[int, ...], track: Callable):
        self._strategy, self._split, self._protocol = strategy, split, protocol
        self._scales, self._track = scales, track
        self._members: list[protocols.Predictions] = []

    def add(self, task, model, path: str) -> None:
        """Evaluates a network; `path` names it in errors.

        Raises:
            ConfigError: its images or classes are not those of the networks before.
            DataError: an image cannot be read.
        """
        found = protocols.predict(task, model, self._strategy, self._split, self._protocol, self._scales, self._track)
        first = self._members[0] if self._members else found
        if first.scores.shape != found.scores.shape or (first.labels != found.labels).any():
            raise ConfigError(
                f"{path}: was not trained on the same images and classes as the first ({task.config.data.name}, "
                f"{len(task.labels)} classes); an ensemble needs the same for all"
            )
        self._members.append(found)
        self._task, self._together = task, protocols.ensemble(self._members)

    def measured(self) -> dict:
        """Returns the metrics for JSON."""
        return metrics.measure(self._together)

    def lines(self) -> Iterator[str]:
        """Yields the metrics as text, one a line."""
        measured = self.measured()
        for name, each in measured.items():
            shown = metrics.METRICS[name].text(each["percent"] if isinstance(each, dict) else each)
            if isinstance(each, dict):
                shown += f"  (95 % interval {each['low']:.2f} to {each['high']:.2f}; "
                shown += f"{each['wrong']} of {each['images']} images wrong)"
            yield f"{name.replace('_', ' '):<10}  {shown}"
        left_out = self._task.sizes[self._split] - measured["error"]["images"]
        if left_out:
            yield f"{left_out} unreadable images are skipped"

    def write_report(self, folder: str, content: dict) -> list[str]:
        """Writes tables and plots, with `content` as evaluation.json, and returns their paths."""
        from keras_resnet.classification import report

        return report.write_report(folder, self._task, self._split, self._together, content)
