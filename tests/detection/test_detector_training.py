"""What every task has in training, for detectors: replicas, accumulation, mixed precision, XLA, skipped images."""

import json

import numpy as np
import pytest
import tensorflow as tf
from conftest import ROOT, run, tiny_task
from PIL import Image

from keras_resnet.config import load_config
from keras_resnet.data import scenes
from keras_resnet.data.pipeline import training_batches
from keras_resnet.training.optimizer import build_model_and_optimizer
from keras_resnet.training.steps import make_train_step
from keras_resnet.weights.native import named_variables, to_tensors

pytestmark = pytest.mark.slow

SETTINGS = [
    "train.steps=2",
    "train.optimizer=sgd",
    "train.learning_rate=0.01",
    "train.warmup_steps=0",
    "train.weight_decay=0",
    "train.batch_norm=constant",  # batch statistics would be those of a replica or a part
    "data.image_size=64",
    "detector.min_level=3",
    "detector.anchor_sizes=[[12, 17], [24, 34]]",
]
# More samples than there are anchors and proposals: XLA draws other numbers from a seed, and all are drawn.
ALL_SAMPLES = [
    "detector.anchor_samples=400",
    "detector.anchor_positive_fraction=1",
    "detector.proposals=[40, 20]",
    "detector.roi_samples=60",
    "detector.roi_positive_fraction=1",
]


@pytest.fixture(scope="module", autouse=True)
def few_scenes():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scenes, "SCENES", {"train": 24, "validation": 6, "test": 5})
        yield


def one_step(strategy, *more, jit_compile=False):
    """Returns (the model, {name: change of a variable}, the sums of the step)."""
    task = tiny_task(load_config(str(ROOT / "configs/detection/scenes.yaml"), [*SETTINGS, *more]))
    model, optimizer = build_model_and_optimizer(task, strategy)
    before = to_tensors(named_variables(model))
    step = make_train_step(task, model, optimizer, strategy, jit_compile)
    sums = {name: float(value) for name, value in step(next(training_batches(task, strategy, 0))).items()}
    after = to_tensors(named_variables(model))
    return model, {name: after[name] - before[name] for name in after}, sums


def assert_same_step(one, other, tolerance):
    """Checks losses, and the changes of all weights beside the greatest change of each."""
    (_, changes, sums), (_, other_changes, other_sums) = one, other
    assert sums == pytest.approx(other_sums, rel=tolerance)
    kinds = {name.rpartition("/")[2] for name, change in changes.items() if change.any()}
    assert kinds == {"kernel", "bias"}  # neither scales and shifts nor moving statistics
    for name, change in changes.items():
        scale = max(np.abs(change).max(), 1e-8)
        np.testing.assert_allclose(other_changes[name] / scale, change / scale, atol=tolerance, err_msg=name)


@pytest.fixture(scope="module")
def plain(strategies):
    return one_step(strategies[1])


def test_step_trains_trunk_and_heads(plain):
    moved = {name.partition("/")[0] for name, change in plain[1].items() if change.any()}
    assert {"stem_conv", "fpn_output3", "rpn_deltas", "box_scores", "box_deltas"} <= moved
    assert plain[2]["images"] == 8


def test_step_on_two_replicas_equals_one(plain, strategies):
    assert_same_step(plain, one_step(strategies[2]), 2e-3)


def test_step_in_parts_equals_one_of_the_whole_batch(plain, strategies):
    assert_same_step(plain, one_step(strategies[1], "train.gradient_accumulation_steps=4"), 2e-3)


def test_step_with_jit_compile_equals_the_plain_step(strategies):
    compiled = one_step(strategies[1], *ALL_SAMPLES, jit_compile=True)
    assert_same_step(one_step(strategies[1], *ALL_SAMPLES), compiled, 2e-3)


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_step_in_mixed_precision(plain, strategies, precision):
    """The losses are those of float32 to 5 %, all weights change, and boxes are float32."""
    model, changes, sums = one_step(strategies[1], f"train.precision={precision}")
    assert sums["loss"] == pytest.approx(plain[2]["loss"], rel=0.05)
    assert np.isfinite(sums["gradient_norm"])
    assert {name for name in changes if changes[name].any()} == {name for name in plain[1] if plain[1][name].any()}
    features = model.feature_maps(tf.zeros((1, 64, 64, 3)))
    assert features[3].dtype == precision.removeprefix("mixed_")
    assert model.propose(features).boxes.dtype == model.detect(tf.zeros((1, 64, 64, 3))).boxes.dtype == tf.float32


def write_coco(folder, split, count):
    """Writes painted scenes in COCO's format."""
    rows, annotations = [], []
    (folder / split).mkdir(parents=True)
    for i in range(count):
        scene = scenes.paint_scene("train", i)
        Image.fromarray(scene.image).save(folder / split / f"{i}.png")
        rows.append({"id": i, "file_name": f"{i}.png", "height": 128, "width": 128})
        for (y1, x1, y2, x2), label in zip(scene.boxes.tolist(), scene.labels.tolist(), strict=True):
            annotations.append({"id": len(annotations), "image_id": i, "category_id": label})
            annotations[-1]["bbox"] = [x1, y1, x2 - x1, y2 - y1]
    categories = [{"id": i, "name": str(i)} for i in range(10)]
    (folder / "annotations").mkdir(exist_ok=True)
    content = {"images": rows, "annotations": annotations, "categories": categories}
    (folder / "annotations" / f"{split}.json").write_text(json.dumps(content))


def test_unreadable_images_are_skipped_in_training_and_validation(tmp_path):
    write_coco(tmp_path / "coco", "train", 8)
    write_coco(tmp_path / "coco", "val", 4)
    broken = [tmp_path / "coco" / "train" / "3.png", tmp_path / "coco" / "val" / "1.png"]
    for path in broken:
        path.write_bytes(path.read_bytes()[:900])
    flags = [f"--set={each}" for each in [*SETTINGS, "train.batch_size=4", "eval.batch_size=4"]]
    flags += ["--config=detection/scenes", f"--set=data.name=coco:{tmp_path / 'coco'}"]
    process = run("train.py", *flags, f"--workdir={tmp_path / 'refused'}")
    assert process.returncode == 3, process.stderr
    assert any(line.startswith(f"error: {broken[0]}: ") for line in process.stderr.splitlines())
    skip = "--set=data.on_unreadable_image=skip"
    process = run("train.py", *flags, skip, f"--workdir={tmp_path / 'run'}")
    assert process.returncode == 0, process.stderr
    assert f"skipped: {broken[0]}: " in process.stderr
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert (results["steps"], results["skipped"]) == (2, 1)
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert all(np.isfinite(list(line.values())).all() for line in lines)
