"""What version 0.1 wrote, `tests/golden/version_0_1.tar.xz`, still resumes, loads and predicts."""

import json
import shutil
import tarfile

import keras
import numpy as np
import pytest
from conftest import GOLDEN, run

import keras_resnet
from keras_resnet.commands.models import open_model
from keras_resnet.commands.runs import load_run
from keras_resnet.description import DESCRIPTION_FILE
from keras_resnet.runs.folder import RunFolder

# The flags of the run, in today's words: version 0.1 trained it with `data.flip=true`, `train.clip_norm=5` and so on.
FLAGS = [
    f"--set={assignment}"
    for assignment in (
        *("train.epochs=null", "train.steps=4", "train.batch_size=16", "train.log_every=2", "train.eval_every=2"),
        *("data.horizontal_flip=true", "data.random_crop_padding=2", "data.pca_lighting=true", "eval.crop_pct=0.875"),
        *("train.milestones=[0.5]", "train.global_clipnorm=5", "train.batch_norm=synchronized"),
        *("model.zero_init_last_gamma=true", "train.keep_checkpoints=1"),
    )
]


@pytest.fixture(scope="module")
def old(tmp_path_factory):
    """The folder of the files: run, weights.safetensors, model.keras, export, and expected.npz of the two models."""
    folder = tmp_path_factory.mktemp("version_0_1")
    with tarfile.open(GOLDEN / "version_0_1.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    return folder


@pytest.fixture(scope="module")
def images():
    """(2, 32, 32, 3): those that the expected outputs belong to."""
    return np.random.RandomState(0).randint(0, 256, (2, 32, 32, 3)).astype("float32")


@pytest.mark.slow
def test_killed_run_resumes_as_if_it_had_not_been_killed(old, tmp_path):
    """From the checkpoint of step 2 of 4; the weights are those of a run that version 0.2 trains whole."""
    resumed = run("train.py", f"--workdir={old / 'run'}", *FLAGS)
    assert resumed.returncode == 0, resumed.stderr
    assert "step 2" in (old / "run/log.txt").read_text()
    whole = run("train.py", f"--workdir={tmp_path / 'whole'}", *FLAGS)
    assert whole.returncode == 0, whole.stderr
    for name in ("best", "last"):
        one, other = (load_run(str(folder), name).model.get_weights() for folder in (old / "run", tmp_path / "whole"))
        for resumed_weight, weight in zip(one, other, strict=True):
            np.testing.assert_allclose(resumed_weight, weight, rtol=1e-4, atol=1e-5)


def test_configuration_and_description_of_a_run_are_read(old):
    folder = RunFolder(str(old / "run"))
    config = folder.read_config()
    assert (config.data.horizontal_flip, config.data.pca_lighting, config.data.crop) == (True, True, "center")
    assert (config.train.milestones, config.train.global_clipnorm) == ((0.5,), 5)
    assert (config.train.batch_norm, config.model.zero_init_last_gamma) == ("synchronized", True)
    assert folder.read_description().preprocessing.crop_pct == 0.875


def test_old_names_of_the_run_s_command_name_the_new_ones(old):
    process = run("train.py", f"--workdir={old / 'run'}", "--set=data.color=alexnet")
    assert process.returncode == 2
    assert process.stderr == ("error: --set: data.color: was renamed in version 0.2; write data.pca_lighting: true\n")


@pytest.mark.slow
def test_weights_file(old, images):
    model = keras_resnet.from_weights(str(old / "weights.safetensors"), classifier_activation=None)
    spec = model.description.spec
    assert (spec.preactivation, spec.version, spec.width_per_group, spec.se_reduction) == (False, "1.5", 32, 4)
    assert spec.avg_down  # its last_gamma and stochastic_depth belong to a recipe
    expected = np.load(old / "expected.npz")["weights"]
    np.testing.assert_allclose(model.predict(images, verbose=0), expected, rtol=1e-4, atol=1e-5)


def test_keras_file_with_its_optimizer(old, images):
    model = keras.models.load_model(old / "model.keras")
    assert isinstance(model.get_layer("stage1_block1_carry"), keras_resnet.HighwayGate)
    assert model.description.spec.skip == "gate"
    settings = model.optimizer.get_config()
    assert (settings["weight_decay"], settings["weight_decay_on"], settings["global_clipnorm"]) == (1e-4, "all", 1.0)
    assert set(settings["learning_rate_factors"]) == {1.0}
    expected = np.load(old / "expected.npz")["keras"]
    np.testing.assert_allclose(model.predict(images[:, :16, :16], verbose=0), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["export", "export/litert/1.tflite"])
def test_export_predicts(old, images, name):
    predictor = open_model(str(old / name))
    assert predictor.labels == ("cat", "dog", "bird")
    assert predictor.preprocessing.crop_pct == 0.875
    expected = np.load(old / "expected.npz")["weights"]
    np.testing.assert_allclose(predictor.logits(images), expected, rtol=1e-3, atol=1e-3)


@pytest.mark.slow
def test_export_without_a_description_has_its_preprocessing_from_the_report(old, tmp_path):
    """As exports of the first weeks of version 0.1. What is usual for 32 pixels is a crop of 1.0."""
    shutil.copytree(old / "export", tmp_path / "export")
    (tmp_path / "export/1" / DESCRIPTION_FILE).unlink()
    assert open_model(str(tmp_path / "export")).preprocessing.crop_pct == 0.875


def test_the_files_are_of_version_0_1(old):
    environment = json.loads((old / "run/environment.json").read_text())
    assert environment["keras_resnet"] == "0.1.0"
