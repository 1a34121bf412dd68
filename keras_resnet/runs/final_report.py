"""What is left of a finished run: its figures, curves and card."""

import json

from keras_resnet.runs.folder import RunFolder, write_text
from keras_resnet.runs.model_card import write_card
from keras_resnet.runs.plots import draw_curves
from keras_resnet.runs.state import RunState


def write_final_report(folder: RunFolder | None, task, state: RunState, seconds: float, rollbacks: int) -> dict:
    """Returns the final figures, and writes them with all that shows them.

    Args:
        folder: the run's; None for a process that does not write.
        task: what was learned.
        state: at the last step.
        seconds: of training, over all processes.
        rollbacks: how often the run went back.
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
        write_text(folder.results, json.dumps(results, indent=1) + "\n")  # by which a run counts as finished
    return results
