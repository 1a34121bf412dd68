"""Tests keys that exclude each other: the later layer wins and logs a line; in one file both are an error."""

import pytest

from keras_resnet.config import changed, load_config
from keras_resnet.errors import ConfigError


def write(tmp_path, text, name="c.yaml"):
    (tmp_path / name).write_text(text)
    return str(tmp_path / name)


def load(path, *assignments):
    """Returns (configuration, logged lines)."""
    lines = []
    return load_config(path, assignments, lines.append), lines


def test_command_line_steps_replace_epochs(tmp_path):
    path = write(tmp_path, "train:\n  seed: 3\n  epochs: 30\n")
    config, lines = load(path, "train.steps=60")
    assert (config.train.steps, config.train.epochs, config.train.seed) == (60, None, 3)
    assert lines == [f"train.epochs: 30 of {path}:3 is replaced by --set train.steps=60"]


def test_command_line_epochs_replace_steps(tmp_path):
    path = write(tmp_path, "train: {steps: 60}\n")
    config, lines = load(path, "train.epochs=0.5")
    assert (config.train.steps, config.train.epochs) == (None, 0.5)
    assert lines == [f"train.steps: 60 of {path}:1 is replaced by --set train.epochs=0.5"]


def test_file_steps_replace_epochs_of_base_file(tmp_path):
    base = write(tmp_path, "train: {epochs: 30, seed: 1}\n", "base.yaml")
    path = write(tmp_path, "extends: base.yaml\ntrain:\n  steps: 60\n")
    config, lines = load(path)
    assert (config.train.steps, config.train.epochs, config.train.seed) == (60, None, 1)
    assert lines == [f"train.epochs: 30 of {base}:1 is replaced by train.steps: 60 of {path}:3"]


def test_last_assignment_wins(tmp_path):
    config, lines = load(write(tmp_path, "train: {epochs: 30}\n"), "train.steps=60", "train.epochs=2", "train.steps=7")
    assert (config.train.steps, config.train.epochs) == (7, None)
    assert lines[1:] == [
        "train.steps: 60 of --set is replaced by --set train.epochs=2",
        "train.epochs: 2 of --set is replaced by --set train.steps=7",
    ]


def test_null_assignment_replaces_nothing(tmp_path):
    path = write(tmp_path, "train: {epochs: 30}\n")
    config, lines = load(path, "train.steps=null")
    assert (config.train.epochs, lines) == (30, [])
    config, lines = load(path, "train.epochs=null", "train.steps=4")
    assert (config.train.steps, lines) == (4, [])


def test_changed_accepts_epochs_for_resolved_config(tmp_path):
    config, _ = load(write(tmp_path, "train: {steps: 60}\n"))
    assert changed(config, ["train.epochs=2"]).train.epochs == 2


def test_steps_and_epochs_in_one_file_error_names_both_lines(tmp_path):
    path = write(tmp_path, "train:\n  epochs: 30\n  seed: 1\n  steps: 60\n")
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert str(caught.value) == (
        f"{path}:4: train.steps: give one of train.steps and train.epochs, got both (train.epochs is in {path}:2)"
    )


@pytest.mark.parametrize(
    ("text", "assignment", "dropped", "default"),
    [
        (
            "train: {steps: 9, warmup_steps: 4, warmup_learning_rate: 0.01}",
            "train.warmup_steps=0",
            "train.warmup_learning_rate",
            None,
        ),
        ("{model: {weights: a, reset_head: true}, train: {steps: 9}}", "model.weights=null", "model.reset_head", False),
        (
            "{data: {on_unreadable_image: skip}, train: {steps: 9}}",
            "data.name=synthetic",
            "data.on_unreadable_image",
            "fail",
        ),
        (
            "train: {steps: 9, warmup_steps: 4, warmup_start_factor: 0.01}",
            "train.warmup_steps=0",
            "train.warmup_start_factor",
            None,
        ),
        ("train: {steps: 9, ema_decay: 0.9, ema_every: 4}", "train.ema_decay=0", "train.ema_every", 1),
        ("train: {steps: 9, optimizer: lamb, epsilon: 0.1}", "train.optimizer=sgd", "train.epsilon", None),
        ("train: {steps: 9, optimizer: lamb, betas: [0.9, 0.99]}", "train.optimizer=lars", "train.betas", None),
        (
            "train: {steps: 9, loss: binary_cross_entropy, target_threshold: 0.2}",
            "train.loss=cross_entropy",
            "train.target_threshold",
            None,
        ),
        (
            "{data: {randaugment_num_ops: 2}, train: {steps: 9}}",
            "data.auto_augment=augmix",
            "data.randaugment_num_ops",
            0,
        ),
    ],
)
def test_dependent_key_is_reset_by_assignment(tmp_path, text, assignment, dropped, default):
    config, lines = load(write(tmp_path, text), assignment)
    group, key = dropped.split(".")
    assert getattr(getattr(config, group), key) == default
    (line,) = lines
    assert line.startswith(f"{dropped}: ")
    assert line.endswith(f" is replaced by --set {assignment}")


def test_warmup_steps_above_0_keep_warmup_learning_rate(tmp_path):
    path = write(tmp_path, "train: {steps: 9, warmup_steps: 4, warmup_learning_rate: 0.01}")
    config, lines = load(path, "train.warmup_steps=2")
    assert (config.train.warmup_learning_rate, lines) == (0.01, [])


def test_number_in_place_of_group_raises_config_error(tmp_path):
    with pytest.raises(ConfigError, match=r"^--set: train: expected a group of keys, got 3$"):
        load(write(tmp_path, "train: {epochs: 30}\n"), "train=3", "train.steps=4", "train=3")


def test_train_print_config_logs_replaced_key(cli, tmp_path):
    path = write(tmp_path, "train: {epochs: 30}\n")
    process = cli("train.py", f"--config={path}", "--set=train.steps=60", "--print_config")
    assert process.returncode == 0, process.stderr
    assert process.stderr == f"train.epochs: 30 of {path}:1 is replaced by --set train.steps=60\n"
    assert "steps: 60\n" in process.stdout
