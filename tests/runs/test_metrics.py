import matplotlib.image
import numpy as np
import pytest

from keras_resnet.runs.folder import RunFolder
from keras_resnet.runs.logs import MetricsLog, TensorBoard, read_metrics
from keras_resnet.runs.report import draw_curves, draw_examples
from keras_resnet.task import metrics_of


def test_metrics_log_of_a_resumed_run_has_each_step_once(tmp_path):
    folder = RunFolder(str(tmp_path))
    log = MetricsLog(folder, 0)
    for step in (1, 2, 3):
        log.write(step, {"train/loss": 1 / step})
    log.close()
    with open(folder.metrics, "a") as file:
        file.write('{"step": 4, "train/lo')  # a line cut off by a crash
    log = MetricsLog(folder, 2)
    log.write(3, {"train/loss": 9.0})
    log.close()
    assert [(line["step"], line["train/loss"]) for line in read_metrics(folder.metrics)] == [
        (1, 1.0),
        (2, 0.5),
        (3, 9.0),
    ]


@pytest.mark.slow
def test_draw_curves_writes_a_plot(tmp_path):
    folder = RunFolder(str(tmp_path))
    log = MetricsLog(folder, 0)
    log.write(1, {"train/loss": 2.0, "train/error": 90.0, "train/learning_rate": 0.1, "validation/error": 80.0})
    log.write(2, {"train/loss": 1.0, "train/error": 50.0, "train/learning_rate": 0.1, "validation/loss": 1.5})
    log.close()
    draw_curves(folder, "a run", metrics_of("classification"))
    picture = matplotlib.image.imread(folder.curves)
    assert picture.shape[0] > 300
    assert len(np.unique(picture.reshape(-1, picture.shape[-1]), axis=0)) > 10


def test_draw_examples_takes_names_that_are_no_formulas(tmp_path):
    draw_examples(str(tmp_path / "examples.png"), np.zeros((1, 8, 8, 3)), ["$_$"])
    assert matplotlib.image.imread(tmp_path / "examples.png").shape[0] > 100


def test_tensorboard_discards_repeated_steps(tmp_path):
    """A run resumes from step 20 twice: once in a new process and once after a rollback."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    folder = RunFolder(str(tmp_path))
    first = TensorBoard(folder, 0)
    for step in (10, 20, 30):
        first.write(step, {"train/loss": float(step)})
    first.close()
    second = TensorBoard(folder, 20)
    second.write(30, {"train/loss": 31.0})
    second.rewind(20)
    second.write(30, {"train/loss": 32.0})
    second.close()
    shown = EventAccumulator(folder.tensorboard).Reload()
    assert [(each.step, each.value) for each in shown.Scalars("train/loss")] == [(10, 10.0), (20, 20.0), (30, 32.0)]
