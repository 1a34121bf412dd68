"""What runs on every kind of images must pass: exports agree, and resumed runs have the bits of undisturbed ones."""

import json
import signal

import numpy as np
from conftest import run
from faults_rig import differences

MODELS = ("run", "export", "export/litert/1.tflite", "export/onnx/1.onnx", "run/weights/best.safetensors")


def check_exports_agree(root, images, label, shape):
    """Exports `root`/run and compares the scores of a label: of the run, its weights and every format."""
    formats = "--formats=saved_model,litert,onnx"
    process = run("export.py", f"--workdir={root / 'run'}", f"--output={root / 'export'}", formats)
    assert process.returncode == 0, process.stderr
    report = json.loads((root / "export/1/export_report.json").read_text())
    assert report["image_shape"] == shape
    scores = []
    for model in MODELS:
        process = run("-m", "keras_resnet", "predict", root / model, images, "--format=json")
        assert process.returncode == 0, process.stderr
        entries = [{each["label"]: each["score"] for each in row["predictions"]} for row in json.loads(process.stdout)]
        scores.append([entry[label] for entry in entries])
    assert len(scores[0]) == len(list(images.glob("[0-9]*")))
    for other in scores[1:]:
        np.testing.assert_allclose(other, scores[0], atol=2e-4)


def check_resumed_run_has_the_same_bits(root, flags, replicas):
    """Trains a run, and one that SIGTERM stops and that resumes.

    Args:
        root: the folder of both.
        flags: name of a run's folder -> the flags that train it.
        replicas: 1 or 2.
    """
    more = [f"--set={each}" for each in ("train.steps=24", "train.eval_every=24", "train.checkpoint_every=8")]
    more += ["--strategy=mirrored", "--virtual_devices=2"] if replicas == 2 else []
    whole, stopped = (root / f"{name}{replicas}" for name in ("whole", "stopped"))
    process = run("train.py", *flags(whole.name), *more)
    assert process.returncode == 0, process.stderr
    process = run("train.py", *flags(stopped.name), *more, signals=[(stopped / "metrics.jsonl", 0, signal.SIGTERM)])
    assert process.returncode == 143, process.stderr
    process = run("train.py", *flags(stopped.name), *more)
    assert process.returncode == 0, process.stderr
    assert "resuming from step" in (stopped / "log.txt").read_text()
    assert differences(whole, stopped) == []
