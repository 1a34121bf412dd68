"""Warnings at the start of a run, by the number of images that batch normalization sees."""

from types import SimpleNamespace

import pytest

from keras_resnet import create_model
from keras_resnet.config.loading import load_config
from keras_resnet.config.recipes import recipes_folder
from keras_resnet.runs.folder import RunFolder
from keras_resnet.training.optimizer import prepare
from keras_resnet.training.pitfalls import at_end, at_start

DIGITS = f"{recipes_folder()}/digits/resnet20.yaml"


@pytest.fixture(scope="module")
def model():
    return create_model("cifar_resnet8", weights=None, input_shape=(8, 8, 1), classes=10)


def warnings(model, assignments, replicas=1, has_weights=False):
    config = load_config(DIGITS, assignments)
    prepare(model, config.train)
    return at_start(config, model, replicas, has_weights)


@pytest.mark.parametrize(
    ("assignments", "replicas", "has_weights", "text"),
    [
        (["train.batch_size=4"], 1, False, "over 4 images (train.batch_size 4, 1 replica) reduces the accuracy, below"),
        (["train.batch_size=2"], 2, False, "over 1 image (train.batch_size 2, 2 replicas)"),
        (["train.batch_size=4"], 1, False, "; set a larger train.batch_size"),
        (["train.batch_size=8"], 1, True, "; set train.batch_norm=frozen or a larger train.batch_size"),
        (["train.batch_size=16"], 2, False, "; set train.batch_norm=synchronized or a larger train.batch_size"),
        (
            ["train.batch_size=32", "train.gradient_accumulation_steps=4"],
            1,
            False,
            "over 8 images (train.batch_size 32, 1 replica) reduces the accuracy, below about 16 images; set fewer "
            "train.gradient_accumulation_steps or a larger train.batch_size",
        ),
        (["train.batch_norm=frozen"], 1, False, "keeps mean 0 and variance 1 of new weights"),
    ],
)
def test_warning_says_what_to_set(model, assignments, replicas, has_weights, text):
    (line,) = warnings(model, assignments, replicas, has_weights)
    assert text in line


@pytest.mark.parametrize(
    ("assignments", "replicas", "has_weights"),
    [
        (["train.batch_size=16"], 1, False),
        (["train.batch_size=16", "train.batch_norm=synchronized"], 2, False),
        (["train.batch_size=2", "train.batch_norm=frozen"], 1, True),
        (["train.batch_size=2", "train.batch_norm=constant"], 1, True),
        (["train.batch_size=2", "train.freeze_at=stage3"], 1, True),
    ],
)
def test_no_warning_without_few_images_or_without_statistics(model, assignments, replicas, has_weights):
    assert warnings(model, assignments, replicas, has_weights) == []


@pytest.mark.parametrize(
    ("skip", "line", "found"), [("skip", "", 1), ("skip", ', "validation/loss": 1.0', 0), ("fail", "", 0)]
)
def test_warning_of_a_validation_split_without_a_readable_image(model, tmp_path, skip, line, found):
    (tmp_path / "metrics.jsonl").write_text('{"step": 2, "train/loss": 1.0' + line + "}\n")
    config = load_config(DIGITS, [f"data.on_unreadable_image={skip}"])
    findings = at_end(SimpleNamespace(config=config, labels=("a", "b")), model, RunFolder(str(tmp_path)))
    assert [each.startswith("no validation image can be read") for each in findings] == [True] * found
