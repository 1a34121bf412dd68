"""Section 4.1 and 4.2: a bottleneck in place of a basic block at equal cost, and a net of 1202 layers."""

import itertools
import resource
import sys
import threading
import time

from keras_resnet.analysis.study import Job, Measurement, Study, Training

BASIC, BOTTLENECK = "cifar_resnet32", "cifar_bottleneck47"  # 15 blocks each, as ResNet-34 and 50 have 16
VERY_DEEP_STEPS = 40
VERY_DEEP = Training(
    "cifar_resnet1202",
    0,
    (
        *("train.epochs=null", f"train.steps={VERY_DEEP_STEPS}", "train.warmup_steps=0", "train.warmup_rate=null"),
        *("train.schedule=constant", "train.learning_rate=0.01"),  # the rate that the paper warms deep nets up with
        *("train.log_every=1", f"train.eval_every={VERY_DEEP_STEPS}", f"train.checkpoint_every={VERY_DEEP_STEPS}"),
    ),
)


def very_deep(study: Study) -> Measurement:
    """A short run of 1202 layers in a process of its own."""
    return Measurement("keras_resnet.analysis.bottleneck:train_very_deep", (), (), True, 180.0)


def jobs(study: Study) -> list[Job]:
    """Both kinds of block, and the very deep net."""
    runs = [Training(name, seed) for name in (BASIC, BOTTLENECK) for seed in study.seeds]
    return [*runs, very_deep(study)]


def train_very_deep(study: Study) -> dict:
    """Trains ResNet-1202 for a few steps through `fit`.

    Returns:
        {"losses": of each step, "first_step_seconds": building and tracing included, "step_seconds": median of the
        others, "peak_memory": bytes of this process}.
    """
    from keras_resnet.analysis.worker import train
    from keras_resnet.runs.metrics import read_metrics

    path, times = study.folder(VERY_DEEP).metrics, [time.monotonic()]
    ended = threading.Event()

    def watch():
        while not ended.wait(0.05):
            times.extend([time.monotonic()] * (1 + len(read_metrics(path)) - len(times)))

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        train(study, VERY_DEEP)
    finally:
        ended.set()
        thread.join()
    gaps = sorted(after - before for before, after in itertools.pairwise(times[1:]))
    unit = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss
    return {
        "losses": study.curve(VERY_DEEP, "train/loss")[1],
        "first_step_seconds": times[1] - times[0],
        "step_seconds": gaps[len(gaps) // 2] if gaps else None,
        "peak_memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit,
    }
