"""Figures over steps: metrics.jsonl, and the dashboards that show them while a run goes on."""

import json
import os

from keras_resnet.training.run_folder import RunFolder, write_text


class MetricsLog:
    """Writes figures as they come; in metrics.jsonl each step once, also when a run goes on from an earlier step.

    metrics.jsonl holds no times: the file of a run that was interrupted equals that of one that was not.

    Args:
        folder: the run's.
        start_step: the step that the run goes on from; later lines of an earlier process are dropped.
        dashboards: what else is told, see `keras_resnet.training.dashboards`.
    """

    def __init__(self, folder: RunFolder, start_step: int, dashboards=()):
        self._folder, self._dashboards = folder, dashboards
        kept = [line for line in read_metrics(folder.metrics) if line.get("step", start_step + 1) <= start_step]
        write_text(folder.metrics, "".join(json.dumps(line) + "\n" for line in kept))

    def write(self, step: int, figures: dict[str, float], speeds: dict[str, float] | None = None) -> None:
        """Adds a line {"step": step, "train/loss": figure, ...}; dashboards get `speeds` too."""
        with open(self._folder.metrics, "a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step} | figures) + "\n")
        for dashboard in self._dashboards:
            dashboard.write(step, figures | (speeds or {}))

    def close(self) -> None:
        """Flushes what is still in memory."""
        for dashboard in self._dashboards:
            dashboard.close()


def read_metrics(path: str) -> list[dict]:
    """The lines of a metrics file; a last one that a crash cut off is left out."""
    lines = []
    if os.path.exists(path):
        with open(path, encoding="utf-8") as file:
            for text in file:
                try:
                    lines.append(json.loads(text))
                except json.JSONDecodeError:
                    break
    return lines
