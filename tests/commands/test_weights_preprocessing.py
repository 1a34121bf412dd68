"""Tests that the user's preprocessing flags apply in every command and are stored with the weights."""

import json

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save_file
from sklearn.datasets import load_sample_images
from weights_rig import state_of

from keras_resnet import from_weights

COMMAND = ("-m", "keras_resnet")
FLAGS = ("--image_size=96", "--crop_pct=0.8", "--interpolation=bicubic")


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Returns a weight file of a two-class network without metadata."""
    state = state_of("torchvision_resnet18")
    state |= {name: 0.1 * state[name][:2] for name in ("fc.weight", "fc.bias")}  # so that no score is near 1
    path = tmp_path_factory.mktemp("alone") / "weights.safetensors"
    save_file(state, path)
    return path


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    path = tmp_path_factory.mktemp("image") / "flower.png"
    Image.fromarray(load_sample_images().images[1]).save(path)
    return path


def scores(process):
    assert process.returncode == 0, process.stderr
    (row,) = json.loads(process.stdout)
    return {each["label"]: each["score"] for each in row["predictions"]}


@pytest.mark.slow
def test_predict_and_export_use_preprocessing_flags(weights, image, cli, tmp_path):
    """Pillow gives the reference: the shorter side is resized to 96 / 0.8, then the center is cropped."""
    picture = Image.open(image)
    width, height = (round(120 * side / min(picture.size)) for side in picture.size)
    resized = picture.resize((width, height), Image.Resampling.BICUBIC)
    left, top = (width - 96) // 2, (height - 96) // 2
    pixels = np.asarray(resized.crop((left, top, left + 96, top + 96)), np.float32)
    expected = from_weights(str(weights), input_shape=(96, 96, 3)).predict(pixels[None], verbose=0)[0]

    asked = cli(*COMMAND, "predict", weights, image, "--format=json", *FLAGS)
    found = scores(asked)
    assert "images are resized" not in asked.stderr
    assert [found["0"], found["1"]] == pytest.approx(list(expected), abs=0.01)
    unasked = cli(*COMMAND, "predict", weights, image, "--format=json")
    assert "images are resized and cropped by image_size 224, crop_pct 0.875, interpolation bilinear" in unasked.stderr
    assert abs(scores(unasked)["0"] - expected[0]) > 0.02

    process = cli("export.py", f"--weights={weights}", f"--output={tmp_path / 'out'}", "--formats=saved_model", *FLAGS)
    assert process.returncode == 0, process.stderr
    served = scores(cli(*COMMAND, "predict", tmp_path / "out", image, "--format=json"))
    assert served == pytest.approx(found, abs=1e-4)


@pytest.mark.slow
def test_evaluate_uses_preprocessing_flags(weights, photographs, cli):
    command = (*COMMAND, "evaluate", weights, f"--set=data.name=folder:{photographs}")
    asked = cli(*command, *FLAGS)
    assert asked.returncode == 0, asked.stderr
    assert "images are resized" not in asked.stderr
    keys = ("data.image_size=96", "eval.crop_pct=0.8", "eval.interpolation=bicubic")
    assert cli(*command, *(f"--set={key}" for key in keys)).stdout == asked.stdout
    assert cli(*command).stdout != asked.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("flag", "said"),
    [
        ("--crop_pct=1.5", "--crop_pct=1.5: expected a number above 0 and at most 1"),
        ("--interpolation=bicubik", '--interpolation=bicubik: did you mean "bicubic"?'),
        ("--std=0.2,0.2,0.2", "std: got 0.2, 0.2, 0.2, but images are in [0, 255]"),
        ("--mean=a", "--mean=a: expected numbers, such as"),
    ],
)
def test_predict_invalid_preprocessing_flag_is_one_line(flag, said, weights, image, cli):
    process = cli(*COMMAND, "predict", weights, image, flag)
    assert process.returncode == 2
    assert process.stderr.splitlines()[-1].startswith(f"error: {said}")


def test_predict_and_export_of_run_refuse_preprocessing_flags(finished_run, image, cli, tmp_path):
    process = cli(*COMMAND, "predict", finished_run, image, "--mean=1")
    assert (process.returncode, process.stderr) == (2, "error: --mean: a run has its own\n")
    process = cli("export.py", f"--workdir={finished_run}", f"--output={tmp_path}/out", "--crop_pct=0.9")
    assert (process.returncode, process.stderr) == (2, "error: --crop_pct: requires --weights; a run has its own\n")
