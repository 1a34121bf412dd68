"""Distillation: the loss by hand, teachers of each kind, and what a run with one keeps."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import ROOT, in_process
from faults_rig import differences
from faults_rig import train as train_command

from keras_resnet import SPECS, build
from keras_resnet.classification.teacher import Teacher
from keras_resnet.config import load_config
from keras_resnet.data.pipeline import training_batches
from keras_resnet.errors import ConfigError
from keras_resnet.losses import LOSSES, distillation
from keras_resnet.task import load_task
from keras_resnet.training.optimizer import build_model_and_optimizer
from keras_resnet.training.steps import make_train_step
from keras_resnet.weights.native import named_variables, save_weights, to_tensors

DIGITS = str(ROOT / "configs/digits/resnet20.yaml")
IMAGES = np.random.RandomState(0).uniform(0, 255, (4, 8, 8, 1)).astype("float32")


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    """Returns (path, model) of a network for images of one channel, with a mean and a deviation of its own."""
    keras.utils.set_random_seed(3)
    model = build(SPECS["cifar_resnet8"], classes=10, input_shape=(8, 8, 1), mean=(90.0,), std=(40.0,))
    path = str(tmp_path_factory.mktemp("teacher") / "teacher.safetensors")
    save_weights(model, path)
    return path, model


def task_with(teacher, *assignments):
    train = [
        "train.epochs=null",
        "train.steps=3",
        "train.batch_size=8",
        "model.name=cifar_resnet8",
        "train.warmup_steps=0",
    ]
    train += ["train.batch_norm=frozen", f"train.teacher={teacher}"]
    return load_task(load_config(DIGITS, [*train, *assignments]))


def test_distillation_by_hand():
    """Shares 1/5 and 4/5 of the teacher, 1/2 and 1/2 of the student; at temperature 2 they are 1/3 and 2/3."""
    logits, same = [[0.0, math.log(4)]], [[7.0, 7.0]]
    once = 0.2 * math.log(0.2 / 0.5) + 0.8 * math.log(0.8 / 0.5)
    assert distillation(tf.constant(logits), tf.constant(same), 1.0).numpy() == pytest.approx([once])
    twice = 4 * (math.log(2 / 3) / 3 + 2 * math.log(4 / 3) / 3)
    assert distillation(tf.constant(logits), tf.constant(same), 2.0).numpy() == pytest.approx([twice])
    assert distillation(tf.constant(logits), tf.constant(logits), 3.0).numpy() == pytest.approx([0], abs=1e-6)


def test_teacher_normalizes_images_as_its_own_network(teacher):
    path, model = teacher
    labels = tuple(map(str, range(10)))
    np.testing.assert_allclose(Teacher(path, labels, 1)(IMAGES), model(IMAGES), rtol=1e-4, atol=1e-5)
    larger = np.zeros((2, 12, 12, 1), np.float32)  # images of another size, as a student may have
    assert Teacher(path, labels, 1)(larger).shape == (2, 10)


def test_loss_is_the_weighted_mean_of_both(teacher, strategies):
    path, model = teacher
    task = task_with(path, "train.teacher_weight=0.25", "train.teacher_temperature=4.0")
    student, _ = build_model_and_optimizer(task, strategies[1])
    batch = next(training_batches(task, strategies[1], 0))
    (images, targets), _ = batch
    losses, _ = task.loss(student, batch)
    logits = student(images, training=True)
    own = LOSSES["cross_entropy"].function(targets, logits, task.config.train)
    np.testing.assert_allclose(losses, 0.75 * own + 0.25 * distillation(model(images), logits, 4.0), rtol=1e-4)
    assert "25% of the loss, temperature 4" in task.overview(student)["teacher"]


@pytest.mark.slow
def test_teacher_is_the_same_on_two_replicas(teacher, strategies):
    weights = []
    for replicas in (1, 2):
        task, strategy = task_with(teacher[0]), strategies[replicas]
        model, optimizer = build_model_and_optimizer(task, strategy)
        assert {each.name for each in optimizer._trainable_variables} == {
            each.name for each in model.trainable_variables
        }
        step, batches = make_train_step(task, model, optimizer, strategy), training_batches(task, strategy, 0)
        for _ in range(3):
            step(next(batches))
        weights.append(to_tensors(named_variables(model)))
    for name, value in weights[0].items():
        np.testing.assert_allclose(weights[1][name], value, rtol=1e-4, atol=1e-5, err_msg=name)


@pytest.mark.parametrize(
    ("classes", "channels", "message"),
    [(7, 1, "has 10 classes, the student 7"), (10, 1, "its classes are not the student's")],
)
def test_teacher_of_other_classes_is_refused(tmp_path, classes, channels, message):
    from dataclasses import replace

    model = build(SPECS["cifar_resnet8"], classes=10, input_shape=(8, 8, 1))
    model.description = replace(model.description, labels=tuple("abcdefghij"))
    save_weights(model, str(tmp_path / "other.safetensors"))
    with pytest.raises(ConfigError, match=message):
        Teacher(str(tmp_path / "other.safetensors"), tuple("abcdefghiX"[:classes]), channels)


def test_teacher_of_several_labels_or_of_other_channels_is_refused(tmp_path):
    from dataclasses import replace

    model, path = build(SPECS["cifar_resnet8"], classes=2, input_shape=(8, 8, 3)), str(tmp_path / "x.safetensors")
    model.description = replace(model.description, labels=("a", "b"))
    save_weights(model, path)
    with pytest.raises(ConfigError, match=r"x\.safetensors: takes 3 channels, the images have 5"):
        Teacher(path, ("a", "b"), 5)
    model.description = replace(model.description, thresholds=(0.5, 0.5))
    save_weights(model, path)
    with pytest.raises(ConfigError, match=r"x\.safetensors: has a sigmoid for each class"):
        Teacher(path, ("a", "b"), 3)


def test_missing_teachers_end_in_one_line(tmp_path):
    (tmp_path / "config.yaml").write_text("")
    for source, message in (
        (str(tmp_path), "a run without weights"),
        (str(tmp_path / "none"), "is neither a file nor a name"),
    ):
        with pytest.raises(ConfigError, match=f"train.teacher: .*{message}") as error:
            Teacher(source, ("a", "b"), 1)
        assert "\n" not in str(error.value)


def test_teacher_that_does_not_fit_leaves_no_folder(tmp_path):
    model = build(SPECS["cifar_resnet8"], classes=7, input_shape=(8, 8, 1))
    save_weights(model, str(tmp_path / "seven.safetensors"))
    teacher = f"--set=train.teacher={tmp_path / 'seven.safetensors'}"
    process = in_process("train.py", f"--workdir={tmp_path / 'run'}", teacher)
    assert process.returncode == 2
    assert process.stderr.splitlines()[-1].endswith("seven.safetensors: has 7 classes, the student 10")
    assert not (tmp_path / "run").exists()


def test_options_of_a_teacher_are_refused_without_one():
    with pytest.raises(ConfigError, match=r"train\.teacher_weight: needs train\.teacher"):
        load_config(DIGITS, ["train.teacher_weight=0.3"])


@pytest.mark.slow
def test_exported_teacher_and_its_run_are_the_same(finished_run, finished_export):
    labels = tuple(map(str, range(10)))
    run, exported = Teacher(str(finished_run), labels, 1), Teacher(str(finished_export), labels, 1)
    assert (run.is_exported, exported.is_exported) == (False, True)
    np.testing.assert_allclose(exported(IMAGES), run(IMAGES), rtol=1e-3, atol=1e-4)
    assert exported(np.zeros((2, 12, 12, 1), np.float32)).shape == (2, 10)
    with pytest.raises(ConfigError, match="takes 1 channels, the images have 3"):
        Teacher(str(finished_export), labels, 3)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["run", "export"])
def test_run_with_a_teacher_killed_and_resumed_is_bit_identical(tmp_path, finished_run, finished_export, kind):
    source = {"run": finished_run, "export": finished_export}[kind]
    flags = [f"--set=train.teacher={source}", "--set=train.steps=12", "--set=train.teacher_temperature=2"]
    process = train_command(tmp_path / "whole", *flags)
    assert process.returncode == 0, process.stderr
    assert (
        train_command(tmp_path / "killed", *flags, fault_at="runs.checkpoints:write_synced:before:6:kill").returncode
        < 0
    )
    assert train_command(tmp_path / "killed", *flags).returncode == 0
    assert differences(tmp_path / "whole", tmp_path / "killed") == []
