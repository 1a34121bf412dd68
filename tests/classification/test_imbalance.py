"""Runs on a CSV of two overlapping classes, 95:5: class weights and balanced sampling find more of the rare one."""

import shutil

import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import confusion_matrix

from keras_resnet.classification.protocols import predict
from keras_resnet.config import Config
from keras_resnet.runs.folder import RunFolder
from keras_resnet.task import load_task
from keras_resnet.training.fit import fit
from keras_resnet.weights.tensors import read_tensors

STEPS = 60


@pytest.fixture(scope="module")
def imbalanced(tmp_path_factory):
    """Returns the CSV of 700 images of 8x8 pixels: 5 % are rare, lighter by two std of the classes."""
    folder, random = tmp_path_factory.mktemp("imbalanced"), np.random.RandomState(0)
    lines = ["file_name,label,split"]
    for i in range(700):
        rare = i % 20 == 7
        gray = np.clip(random.normal(140 if rare else 110, 15) + random.normal(0, 5, (8, 8, 3)), 0, 255)
        Image.fromarray(gray.astype(np.uint8)).save(folder / f"{i}.png")
        lines.append(f"{i}.png,{'rare' if rare else 'common'},{'train' if i < 300 else 'val' if i < 340 else 'test'}")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    return folder / "labels.csv"


def train(path, workdir, strategy, **settings):
    """Trains and returns the task, the model's folder and the confusion matrix of the test split."""
    values = {
        "model": {"name": "cifar_resnet8"},
        "data": {"name": f"csv:{path}", "image_size": 8, "sampling": settings.pop("sampling", "natural")},
        "train": {
            "steps": STEPS,
            "batch_size": 60,
            "learning_rate": 0.01,
            "schedule": "cosine",
            "eval_every": 20,
            "keep_checkpoints": 9,
        }
        | settings,
        "eval": {"batch_size": 40},
    }
    task, run = load_task(Config.model_validate(values)), RunFolder(str(workdir))
    run.claim(task.config, task.description)
    fit(task, strategy, run)
    return task, run


def confusions(task, run, strategy):
    from keras_resnet.commands.runs import load_run

    found = predict(task, load_run(run.path, "last").model, strategy, "test", "single")
    return confusion_matrix(found.labels, found.scores.argmax(1))


@pytest.mark.slow
def test_rare_class_is_found_with_class_weights_and_balanced_sampling(imbalanced, strategies, tmp_path):
    plain = confusions(*train(imbalanced, tmp_path / "plain", strategies[1]), strategies[1])
    assert plain.sum(1).tolist() == [342, 18]
    weighted = train(imbalanced, tmp_path / "weighted", strategies[1], class_weights="balanced")
    np.testing.assert_allclose(weighted[0].class_weights, [300 / 2 / 285, 300 / 2 / 15])
    sampled = train(imbalanced, tmp_path / "sampled", strategies[1], sampling="balanced")
    for run in (weighted, sampled):
        matrix = confusions(*run, strategies[1])
        assert matrix[1, 1] >= plain[1, 1] + 3  # of 18 rare images
        assert matrix[0, 1] > plain[0, 1]  # and more of the common ones are called rare


@pytest.mark.slow
def test_run_with_weights_and_sampling_resumes_bit_by_bit(imbalanced, strategies, tmp_path):
    settings = {"class_weights": "balanced", "sampling": "sqrt"}
    _, run = train(imbalanced, tmp_path / "whole", strategies[2], **settings)
    shutil.copytree(run.path, tmp_path / "resumed")
    for left in ("results.json", "checkpoints/step-00000060", "checkpoints/step-00000040"):
        path = tmp_path / "resumed" / left
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    for file in (tmp_path / "resumed" / "weights").iterdir():
        file.unlink()
    _, resumed = train(imbalanced, tmp_path / "resumed", strategies[2], **settings)
    whole, again = read_tensors(run.last_weights), read_tensors(resumed.last_weights)
    assert all(np.array_equal(whole[name], again[name]) for name in whole)
    assert "resuming from step 20" in (tmp_path / "resumed" / "log.txt").read_text()
