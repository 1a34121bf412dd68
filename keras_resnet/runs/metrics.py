"""Metrics over steps: writes metrics.jsonl and the dashboards of a run, and reads metrics.jsonl."""

import json

from keras_resnet.files import is_remote, read
from keras_resnet.runs.folder import RunFolder, write_text


class MetricsLog:
    """Writes metrics to metrics.jsonl and the dashboards.

    metrics.jsonl holds each step once, also if a run resumes from an earlier step. It holds no times, so the files of
    an interrupted and an uninterrupted run are equal.

    Args:
        folder: the run's folder.
        start_step: the step that the run starts or resumes from; later lines of an earlier process are removed.
        dashboards: the dashboards to write to, see `keras_resnet.runs.dashboards`.
    """

    def __init__(self, folder: RunFolder, start_step: int, dashboards=()):
        self._folder, self._dashboards = folder, dashboards
        self._drop_after(start_step)

    def rewind(self, step: int) -> None:
        """Continues from an earlier step: removes the lines after it."""
        self._drop_after(step)
        for dashboard in self._dashboards:
            dashboard.rewind(step)

    def _drop_after(self, step):
        kept = [line for line in read_metrics(self._folder.metrics) if line.get("step", step + 1) <= step]
        self._write_all(kept)

    def _write_all(self, lines):
        write_text(self._folder.metrics, "".join(json.dumps(line) + "\n" for line in lines))

    def write(self, step: int, figures: dict[str, float], speeds: dict[str, float] | None = None) -> None:
        """Adds a line {"step": step, "train/loss": metric, ...}; dashboards get `speeds` too."""
        line = {"step": step} | figures
        if is_remote(self._folder.metrics):  # object stores cannot append
            self._write_all([*read_metrics(self._folder.metrics), line])
        else:
            with open(self._folder.metrics, "a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
        for dashboard in self._dashboards:
            dashboard.write(step, figures | (speeds or {}))

    def close(self) -> None:
        """Closes the dashboards."""
        for dashboard in self._dashboards:
            dashboard.close()


def read_metrics(path: str) -> list[dict]:
    """Returns the lines of a metrics file; skips a line that a crash cut off."""
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
