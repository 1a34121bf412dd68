"""Why validation is at chance: each cause with answers that are made up, and one in a run."""

from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_resnet.classification.diagnosis import findings

AT_CHANCE = {"train/error": 5.0, "validation/error": 74.0}


class Labels:
    """A task of 4 classes whose images are numbers: their label, or what a network makes of them."""

    labels = ("ant", "bee", "cat", "dog")
    config = SimpleNamespace(eval=SimpleNamespace(batch_size=4))

    def __init__(self, train, validation):
        self._splits = {"train": train, "validation": validation}

    def eval_dataset(self, split, shard):
        """Eight images, two of each class, and a padding image that no answer fits."""
        labels = np.arange(8) % 4
        images = np.float32(self._splits[split])[labels]
        weights = np.float32([1] * 8 + [0])
        batches = ((np.append(images, 9), np.append(labels, 3)), weights)
        return tf.data.Dataset.from_tensor_slices(batches).batch(3)


def network(images, training):
    """Returns logits of the class that the image's number names; numbers from 10 on need the batch's statistics."""
    numbers = tf.where(images >= 10, images - 10 if training else tf.zeros_like(images), images)
    return tf.one_hot(tf.cast(numbers, tf.int32), 4)


RIGHT = [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("train", "validation", "cause"),
    [
        (
            [10, 11, 12, 13],
            [10, 11, 12, 13],
            "the moving statistics of batch normalization do not fit. Training images have an error of 75.0 % with "
            "them and 0.0 % with those of their batch",
        ),
        ([1, 1, 1, 1], RIGHT, "training images have an error of 75.0 % too if they are prepared as in validation"),
        (
            RIGHT,
            [1, 0, 2, 3],
            'another order. With "bee" of validation is "ant" of training, "ant" of validation is "bee" of training, '
            "its error is 0.0 %",
        ),
        (RIGHT, [0, 0, 0, 0], "the network knows its training images (0.0 % error) and nothing that holds for others"),
    ],
)
def test_findings_name_the_cause(train, validation, cause):
    (line,) = findings(Labels(train, validation), network, AT_CHANCE)
    assert line.startswith("validation/error 74.0 % is no better than chance (75.0 %), train/error is 5.0 %: ")
    assert cause in line


@pytest.mark.parametrize(("train", "validation"), [(40.0, 74.0), (5.0, 60.0), (None, 74.0), (5.0, None)])
def test_no_findings_of_a_run_that_learned_little_or_something(train, validation):
    metrics = {"train/error": train, "validation/error": validation}
    known = {name: value for name, value in metrics.items() if value is not None}
    assert findings(Labels(RIGHT, [0, 0, 0, 0]), network, known) == []


@pytest.mark.slow
def test_run_on_folders_with_exchanged_names_says_so(cli, tmp_path):
    """Three colors; the names of the folders in val/ are those of the next color."""
    colors = {"blue": (0, 0, 255), "green": (0, 255, 0), "red": (255, 0, 0)}
    random = np.random.RandomState(0)
    for split, count in (("train", 32), ("val", 8)):
        for position, name in enumerate(colors):
            shown = [*colors.values()][(position + (split == "val")) % 3]
            folder = tmp_path / "photos" / split / name
            folder.mkdir(parents=True)
            for i in range(count):
                pixels = np.clip(random.normal(shown, 30, (16, 16, 3)), 0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(folder / f"{split}{i}.png")
    process = cli(
        "train.py",
        "--config=digits/resnet20",
        f"--workdir={tmp_path / 'run'}",
        *(f"--set=data.name=folder:{tmp_path / 'photos'}", "--set=data.image_size=16", "--set=train.steps=40"),
        *("--set=model.name=cifar_resnet8", "--set=train.batch_size=32", "--set=train.log_every=10"),
    )
    assert process.returncode == 0, process.stderr
    (line,) = [each for each in process.stderr.splitlines() if each.startswith("WARNING: validation/error ")]
    assert 'the classes of validation are in another order. With "' in line
    assert '"green" of validation is "red" of training' in line or '"red" of validation is "blue" of training' in line
    assert line.removeprefix("WARNING: ") in (tmp_path / "run" / "results.json").read_text().replace('\\"', '"')
    assert "another order" in (tmp_path / "run" / "README.md").read_text()
