"""Images that a run leaves out because they cannot be read (`data.on_unreadable_image: skip`)."""

from collections.abc import Callable

from keras_resnet.errors import DataError


class SkippedImages:
    """Names each of them once, and ends a run that meets too many.

    Attributes:
        lines: "where it lies: what is wrong" for every image so far.
    """

    def __init__(self, task, warn: Callable[[str], None]):
        self._task, self._warn = task, warn
        self.lines: set[str] = set()

    def count(self, sums: list[dict], step: int) -> None:
        """Looks at the sums of the last steps before `step`: a step with fewer images than its batch left some out.

        Raises:
            DataError: more images than `data.max_skipped`.
        """
        config = self._task.config
        if config.data.on_unreadable_image != "skip":
            return
        for number, of_step in enumerate(sums, step - len(sums)):
            if float(of_step["images"]) < config.train.batch_size:
                for line in sorted(set(self._task.train_faults(number)) - self.lines):
                    self.lines.add(line)
                    self._warn(f"left out: {line}")
        if len(self.lines) > config.data.max_skipped:
            raise DataError(
                f"{len(self.lines)} images cannot be read, more than data.max_skipped: {config.data.max_skipped}; "
                f"`keras-resnet verify-data {config.data.name}` lists all"
            )
