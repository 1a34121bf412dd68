"""A task that exists only here trains, validates, resumes its best weights and is evaluated by the usual commands.

It regresses one number, the digit in the image, and has what classification lacks: metrics of which more is better,
and one that is computed from the predictions of all images.
"""

import json
import pathlib
from dataclasses import dataclass, replace
from typing import Literal

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_resnet.builder import build_described
from keras_resnet.commands import entry
from keras_resnet.config import Config, load_config
from keras_resnet.data import pipeline
from keras_resnet.data.sources import load_image_set
from keras_resnet.description import Description, Preprocessing
from keras_resnet.errors import ConfigError
from keras_resnet.runs.folder import RunFolder
from keras_resnet.runs.logs import read_metrics
from keras_resnet.task import Metric, load_task
from keras_resnet.tasks import TASKS, TaskRow
from keras_resnet.training.fit import fit


class RegressionConfig(Config):
    task: Literal["regression"] = "regression"


METRICS = {
    "correlation": Metric(better="higher", precedence=1, short="r", axis="correlation"),
    "loss": Metric(precedence=2, axis="squared error", log_axis=True),
}


class Correlation:
    """The correlation of the predictions with the digits."""

    def __init__(self):
        self.rows = []

    def add(self, outputs):
        rows = np.stack([outputs["predicted"], outputs["digits"]], 1)
        self.rows.append(rows[outputs["weights"] > 0])

    def metrics(self):
        rows = np.concatenate(self.rows)
        assert len(rows) == 180  # of the validation split: each once, without padding
        return {"correlation": float(np.corrcoef(rows.T)[0, 1])}


class Regression:
    def __init__(self, config, description=None):
        self.config, self.metrics = config, METRICS
        self.images = load_image_set(config.data)
        preprocessing = Preprocessing(mean=(128,), std=(64,), image_size=8, channels=1, crop_pct=1.0)
        spec = config.model.spec
        self.description = description or Description(spec=spec, preprocessing=preprocessing, labels=("digit",))
        self.labels, self.image_shape = self.description.labels, (8, 8, 1)
        self.sizes = {name: split.size for name, split in self.images.splits.items()}
        self.train_size = self.sizes["train"]

    def build_model(self):
        return build_described(self.description)

    def check_training(self):
        pass

    prepare_training = check_training

    def overview(self, model):
        return {"images": f"{self.train_size} digits"}

    def start_from(self, model):
        return None

    def train_dataset(self, start_step, shard):
        train = self.config.train
        return pipeline.train_batches(
            self.images.split("train"), lambda image, label, seeds: (tf.cast(image, tf.float32), label),
            seed=train.seed, batch_size=train.batch_size, steps=train.total_steps, shard=shard, start_step=start_step,
        )  # fmt: skip

    def eval_dataset(self, split, shard):
        prepared = lambda image, label: (tf.cast(image, tf.float32), label)  # noqa: E731
        return pipeline.eval_batches(
            self.images.split(split), prepared, batch_size=self.config.eval.batch_size, shard=shard
        )

    def eval_steps(self, split):
        return pipeline.eval_steps(self.images.split(split), self.config.eval.batch_size)

    def train_image_errors(self, step):
        return []

    def eval_image_errors(self, split, step):
        return []

    def example_batch(self, count):
        (images, digits), _ = next(iter(self.train_dataset(0, pipeline.Shard(0, 1, count))))
        return images.numpy(), [str(digit) for digit in digits.numpy()]

    def _predicted(self, model, images, training):
        return 10 * tf.cast(model(images, training=training)[:, 0], tf.float32)

    def loss(self, model, batch):
        (images, digits), weights = batch
        losses = (self._predicted(model, images, True) - tf.cast(digits, tf.float32)) ** 2 * weights
        return losses / 100, {"loss": tf.reduce_sum(losses), "images": tf.reduce_sum(weights)}

    def evaluate(self, model, batch):
        (images, digits), weights = batch
        predicted, digits = self._predicted(model, images, False), tf.cast(digits, tf.float32)
        sums = {"loss": tf.reduce_sum((predicted - digits) ** 2 * weights), "images": tf.reduce_sum(weights)}
        return sums | {"predicted": predicted, "digits": digits, "weights": weights}

    def collector(self, split):
        return Correlation()

    def summarize(self, sums):
        return {"loss": sums["loss"] / sums["images"]}

    def example_images(self, count):
        return np.zeros((count, 8, 8, 1), np.float32)

    calibration_images = example_images


@pytest.fixture(scope="module")
def regression():
    """Adds the task's row."""
    with pytest.MonkeyPatch.context() as patch:
        here = __name__
        patch.setitem(TASKS, "regression", TaskRow(f"{here}:Regression", f"{here}:RegressionConfig", f"{here}:METRICS"))
        yield


@dataclass(frozen=True)
class Trained:
    task: Regression
    folder: RunFolder
    results: dict


@pytest.fixture(scope="module")
def trained(regression, strategies, tmp_path_factory):
    """Returns the finished run of the task."""
    folder = tmp_path_factory.mktemp("regression")
    (folder / "config.yaml").write_text(
        "task: regression\nmodel: {name: cifar_resnet8}\ndata: {name: digits}\n"
        "train: {steps: 24, batch_size: 64, eval_every: 8, learning_rate: 0.02, warmup_steps: 0}\n"
        "eval: {batch_size: 64}\n"
    )
    config = load_config(str(folder / "config.yaml"))
    assert type(config) is RegressionConfig
    task, run = load_task(config), RunFolder(str(folder / "run"))
    run.claim(task.config, task.description)
    return Trained(task, run, fit(task, strategies[1], run))


def test_best_weights_are_those_of_the_highest_correlation(trained):
    lines = [line for line in read_metrics(trained.folder.metrics) if "validation/correlation" in line]
    assert len(lines) == 3
    best = max(lines, key=lambda line: line["validation/correlation"])
    assert trained.results["best"]["step"] == best["step"]
    assert trained.results["best"]["validation"]["correlation"] == best["validation/correlation"] > 0.1


def test_model_card_and_table_name_the_metric(trained, capsys):
    card = pathlib.Path(trained.folder.card).read_text()
    assert "| validation r | " in card
    assert "pipeline_tag: other" in card
    entry.call("compare", [trained.folder.path])
    printed = capsys.readouterr().out
    assert "r best" in printed
    assert f"{trained.results['best']['validation']['correlation']:.4f}" in printed


def test_evaluate_gives_the_metrics_of_the_validation(trained, tmp_path, capsys):
    entry.call("evaluate", [trained.folder.path, f"--report={tmp_path}"])
    measured = json.loads((tmp_path / "evaluation.json").read_text())
    assert measured["correlation"] == pytest.approx(trained.results["best"]["validation"]["correlation"], abs=1e-5)
    assert f"r           {measured['correlation']:.4f}" in capsys.readouterr().out
    with pytest.raises(ConfigError, match='--protocol: unknown protocol "ten_crop"; expected one of "single"'):
        entry.call("evaluate", [trained.folder.path, "--protocol=ten_crop"])


def test_saved_configuration_names_the_task(trained):
    config = trained.folder.read_config()
    assert (config.task, type(config)) == ("regression", RegressionConfig)
    assert config.digest() != Config.model_validate(config.model_dump() | {"task": "classification"}).digest()
    description = replace(trained.task.description, source="elsewhere")
    assert load_task(config, description).description == description


def test_unknown_task_is_refused(regression, tmp_path):
    (tmp_path / "config.yaml").write_text("task: regresion\ntrain: {steps: 1}\n")
    with pytest.raises(ConfigError, match='task: got "regresion"; did you mean "regression"'):
        load_config(str(tmp_path / "config.yaml"))


def test_layers_of_a_model_within_a_model_are_found():
    from keras_resnet.layers import flat_layers

    inner = keras.Sequential([keras.layers.Input((2,)), keras.layers.Dense(3, name="inside")])
    inputs = keras.layers.Input((2,))
    model = keras.Model(inputs, keras.layers.Dense(1, name="after")(inner(inputs)))
    assert [layer.name for layer in flat_layers(model) if layer.weights] == ["inside", "after"]
