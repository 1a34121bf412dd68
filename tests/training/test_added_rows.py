"""A row in its table is all that an optimizer, a schedule or a metric needs; a run on two replicas uses one of each."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import ROOT

from keras_resnet.classification.metrics import METRICS, MeanMetric
from keras_resnet.commands import compare
from keras_resnet.config import load_config
from keras_resnet.data.pipeline import training_batches
from keras_resnet.errors import ConfigError
from keras_resnet.optimizers import OPTIMIZERS, OptimizerRow
from keras_resnet.runs.folder import RunFolder
from keras_resnet.runs.logs import read_metrics
from keras_resnet.schedules import SCHEDULES, ScheduleRow
from keras_resnet.task import load_task
from keras_resnet.training.fit import fit
from keras_resnet.training.optimizer import build_optimizer, prepare
from keras_resnet.weights.native import load_weights, named_variables, to_tensors
from keras_resnet.weights.tensors import read_tensors

DIGITS = str(ROOT / "configs/digits/resnet20.yaml")
STEPS = 4
# With frozen statistics two replicas compute what one computes.
TRAIN = {"epochs": "null", "steps": STEPS, "batch_size": 16, "log_every": 1, "warmup_steps": 0, "batch_norm": "frozen"}
TRAIN |= {"optimizer": "adam", "schedule": "linear", "learning_rate": 0.01, "weight_decay": 0.1}
TRAIN |= {"weight_decay_on": "all", "global_clipnorm": 0.5, "precise_bn_batches": 0, "layer_decay": 1.0}
EPSILON = 0.1  # so large that Adam does not divide rounding errors by themselves


def load():
    train = [f"train.{key}={value}" for key, value in TRAIN.items()]
    return load_task(load_config(DIGITS, ["model.name=cifar_resnet8", *train]))


@pytest.fixture(scope="module")
def rows():
    """Adds one row to each table."""
    with pytest.MonkeyPatch.context() as patch:
        adam = OptimizerRow("keras.optimizers:Adam", "Adam", lambda train: {"epsilon": EPSILON})
        patch.setitem(OPTIMIZERS, "adam", adam)
        linear = ScheduleRow(lambda rate, step, settings: rate * (1 - step / settings.steps), "to 0 along a line")
        patch.setitem(SCHEDULES, "linear", linear)
        patch.setitem(
            METRICS,
            "confidence",
            MeanMetric(
                of_images=lambda losses, logits, labels: tf.reduce_max(tf.nn.softmax(logits), -1),
                sum="confidence",
                unit="%",
                compared=True,
                axis="confidence (%)",
            ),
        )
        yield


@pytest.fixture(scope="module")
def trained(rows, strategies, tmp_path_factory):
    """Returns the folder and the results of a run with the added rows."""
    task, folder = load(), RunFolder(str(tmp_path_factory.mktemp("rows") / "run"))
    folder.claim(task.config, task.description)
    return folder, fit(task, strategies[2], folder)


@pytest.mark.slow
def test_run_with_an_added_optimizer_and_schedule_equals_keras(trained, strategies):
    """Keras's Adam on one device, which clips and decays by itself, with learning rates by hand."""
    folder, _ = trained
    task = load()
    keras.utils.set_random_seed(task.config.train.seed)
    model = task.build_model()
    prepare(model, task.config.train)
    before = to_tensors(named_variables(model))
    optimizer = keras.optimizers.Adam(epsilon=EPSILON, weight_decay=0.1, global_clipnorm=0.5)
    optimizer.build(model.trainable_variables)
    batches = training_batches(task, strategies[1], 0)
    for rate in (0.01, 0.0075, 0.005, 0.0025):
        optimizer.learning_rate = rate
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(task.loss(model, next(batches))[0])
        optimizer.apply(tape.gradient(loss, model.trainable_variables))
    saved = read_tensors(folder.last_weights)
    moved = 0.0
    for name, value in to_tensors(named_variables(model)).items():
        np.testing.assert_allclose(saved[name], value, atol=2e-6, err_msg=name)
        moved = max(moved, np.abs(value - before[name]).max())
    assert moved > 1e-3
    assert max(line["train/gradient_norm"] for line in read_metrics(folder.metrics)) > 0.5  # so it was clipped


@pytest.mark.slow
def test_run_with_an_added_schedule_logs_its_learning_rates(trained):
    folder, _ = trained
    rates = [line["train/learning_rate"] for line in read_metrics(folder.metrics)]
    assert rates == pytest.approx([0.0075, 0.005, 0.0025, 0.0])


@pytest.mark.slow
def test_run_with_an_added_metric_reports_it(trained, strategies):
    """results.json and metrics.jsonl have the mean of the highest scores, in percent, as computed by NumPy."""
    folder, results = trained
    task = load()
    model = task.build_model()
    load_weights(model, folder.last_weights)
    split = task.images.split("validation")
    images = np.stack([task._prepare(*split.read(i))[0] for i in range(split.size)])
    logits = np.asarray(model(images, training=False), np.float64)
    scores = np.exp(logits - logits.max(-1, keepdims=True))
    expected = 100 * np.mean(scores.max(-1) / scores.sum(-1))
    last = read_metrics(folder.metrics)[-1]
    assert last["validation/confidence"] == pytest.approx(expected, rel=1e-5)
    assert 0 < last["train/confidence"] < 100
    assert results["validation"]["confidence"] == last["validation/confidence"]
    with open(folder.results) as file:
        assert json.load(file)["validation"] == results["validation"]
    with open(folder.card) as file:
        assert f"| validation confidence | {expected:.2f} % |" in file.read()
    assert compare.run_row(folder.path)["last_confidence"] == pytest.approx(expected, rel=1e-5)


def test_configuration_errors_list_added_rows(rows):
    for key, name in (("optimizer", "adan"), ("schedule", "liner")):
        with pytest.raises(ConfigError, match=f'train.{key}: got "{name}"; did you mean "(adam|linear)"'):
            load_config(DIGITS, [f"train.{key}={name}"])


@pytest.mark.parametrize(("weight_decay_on", "bias"), [("kernels", 1.0), ("all", 0.95)])
def test_added_optimizer_scales_learning_rate_and_decay_of_each_variable(rows, weight_decay_on, bias):
    """With gradient 0, Adam only decays: 1 - rate * rollback's factor * layer's factor * weight decay."""
    task = load()
    train = task.config.train.model_copy(
        update={"learning_rate": 1.0, "schedule": "constant", "layer_decay": 0.5, "weight_decay_on": weight_decay_on}
    )
    variables = []
    for layer, shape in (("stage1_conv", (2, 2)), ("logits", (2, 2)), ("logits", (2,))):
        with keras.name_scope(layer):
            variables.append(keras.Variable(tf.ones(shape), name="weight"))
    optimizer = build_optimizer(train, variables)
    optimizer.learning_rate_factor.assign(0.5)
    optimizer.apply([tf.zeros_like(variable.value) for variable in variables], variables)
    values = [float(np.ravel(variable)[0]) for variable in variables]
    assert values == pytest.approx([1 - 0.5 * 0.5 * 0.1, 1 - 0.5 * 0.1, bias])
    assert optimizer.rate_at(0) == pytest.approx(0.5)
