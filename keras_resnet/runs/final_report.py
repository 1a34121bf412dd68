"""Writes the final report of a run: results.json, plots and model card."""

import json

from keras_resnet.runs.folder import RunFolder, write_text
from keras_resnet.runs.model_card import write_card
from keras_resnet.runs.plots import draw_curves
from keras_resnet.runs.state import RunState


def write_final_report(folder: RunFolder | None, task, state: RunState, seconds: float, rollbacks: int) -> dict:
    """Writes results.json, the curves and the model card, and returns the results.

    Args:
        folder: the run's folder; None for a process that does not write.
        task: the task.
        state: the state at the last step.
        seconds: seconds of training, over all processes.
        rollbacks: number of rollbacks.
    """
    config = task.config
    results = {
        "steps": state.step,
        "validation": state.validation,
        "best": {"step": state.best["step"], "validation": state.best["figures"]},
        "images_per_second": round(state.step * config.train.batch_size / seconds, 1),
        "seconds": round(seconds, 1),
        "images": task.sizes,
        "skipped": len(state.skipped),
        "rollbacks": rollbacks,
    }
    if folder:
        draw_curves(folder, f"{config.model.name} on {config.data.name}")
        write_card(folder, task, results)
        write_text(folder.results, json.dumps(results, indent=1) + "\n")  # written last: it marks the run as finished
    return results
