"""Handling of the unreadable images that a run skips (`data.on_unreadable_image: skip`)."""

from collections.abc import Callable

from keras_resnet.errors import DataError


class SkippedImages:
    """Warns about each skipped image once, and ends a run that skips too many.

    Attributes:
        lines: "location: problem" for every skipped image so far.
    """

    def __init__(self, task, warn: Callable[[str], None]):
        self._task, self._warn = task, warn
        self.lines: set[str] = set()

    def count(self, sums: list[dict], step: int) -> None:
        """Checks the sums of the last steps before `step`: a step with fewer images than its batch size skipped some.

        Raises:
            DataError: more than `data.max_skipped` images were skipped.
        """
        config = self._task.config
        if config.data.on_unreadable_image != "skip":
            return
        for number, of_step in enumerate(sums, step - len(sums)):
            if float(of_step["images"]) < config.train.batch_size:
                for line in sorted(set(self._task.train_faults(number)) - self.lines):
                    self.lines.add(line)
                    self._warn(f"skipped: {line}")
        if len(self.lines) > config.data.max_skipped:
            raise DataError(
                f"{len(self.lines)} images cannot be read, more than data.max_skipped: {config.data.max_skipped}; "
                f"`keras-resnet verify-data {config.data.name}` lists all"
            )
