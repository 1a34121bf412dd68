"""Figures over steps: metrics.jsonl, and the dashboards that show them while a run goes on."""

import json

from keras_resnet.files import is_remote, read
from keras_resnet.runs.folder import RunFolder, write_text


class MetricsLog:
    """Writes figures as they come; in metrics.jsonl each step once, also when a run goes on from an earlier step.

    metrics.jsonl holds no times: the file of a run that was interrupted equals that of one that was not.

    Args:
        folder: the run's.
        start_step: the step that the run goes on from; later lines of an earlier process are dropped.
        dashboards: what else is told, see `keras_resnet.runs.dashboards`.
    """

    def __init__(self, folder: RunFolder, start_step: int, dashboards=()):
        self._folder, self._dashboards = folder, dashboards
        self._drop_after(start_step)

    def rewind(self, step: int) -> None:
        """Goes on from an earlier step: what comes after it is dropped."""
        self._drop_after(step)
        for dashboard in self._dashboards:
            dashboard.rewind(step)

    def _drop_after(self, step):
        kept = [line for line in read_metrics(self._folder.metrics) if line.get("step", step + 1) <= step]
        self._write_all(kept)

    def _write_all(self, lines):
        write_text(self._folder.metrics, "".join(json.dumps(line) + "\n" for line in lines))

    def write(self, step: int, figures: dict[str, float], speeds: dict[str, float] | None = None) -> None:
        """Adds a line {"step": step, "train/loss": figure, ...}; dashboards get `speeds` too."""
        line = {"step": step} | figures
        if is_remote(self._folder.metrics):  # stores of objects cannot append
            self._write_all([*read_metrics(self._folder.metrics), line])
        else:
            with open(self._folder.metrics, "a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
        for dashboard in self._dashboards:
            dashboard.write(step, figures | (speeds or {}))

    def close(self) -> None:
        """Flushes what is still in memory."""
        for dashboard in self._dashboards:
            dashboard.close()


def read_metrics(path: str) -> list[dict]:
    """The lines of a metrics file; one that a crash cut off is left out."""
    lines: list[dict] = []
    try:
        content = read(path)
    except FileNotFoundError:
        return lines
    for text in content.decode(errors="replace").splitlines():
        try:
            line = json.loads(text)
        except json.JSONDecodeError:
            continue
        if isinstance(line, dict):
            lines.append(line)
    return lines
