"""Compares settings of fine-tuning on small folders of images, which it makes.

    keras-resnet train --config=scene_digits/trunk --workdir=TRUNK
    python benchmarks/finetuning.py TRUNK/weights/last.safetensors FOLDER [seeds]

Each setting is `folder/finetune` for 120 steps with changes, at 32 px, with `scene_resnet14` in place of ResNet-50. It
trains on each of three data sets of 8 classes, with 10 and with 40 training images of a class, and is tested on 50. The
seed selects the images and the run. Prints errors in percent and writes all of them into FOLDER/finetuning.json, from
which the same command resumes.

| data set | |
|---|---|
| digits | handwritten digits on stripes; the pretrained network saw digits on photographs |
| filters | parts of two photographs, filtered in 8 ways: details without shapes |
| shapes | painted shapes with clutter |
"""

import functools
import json
import os
import statistics
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf
from PIL import Image, ImageDraw, ImageFilter, ImageOps
from sklearn.datasets import load_digits, load_sample_images

from keras_resnet.config import load_config
from keras_resnet.config.recipes import find_recipe
from keras_resnet.data.embedded import split_indices
from keras_resnet.data.pipeline import training_batches
from keras_resnet.task import load_task
from keras_resnet.training.metrics import Evaluator
from keras_resnet.training.optimizer import build_model_and_optimizer
from keras_resnet.training.steps import make_eval_step, make_train_step

SIDE, CLASSES, STEPS = 32, 8, 120
IMAGES = {"validation": 10, "test": 50}  # of a class
TRAIN = (10, 40)
PLAIN = ("data.crop=center", "data.horizontal_flip=false")
PROBE = ("train.freeze_at=stage3", "train.batch_norm=frozen", "train.layer_decay=1", *PLAIN)
FROZEN = ("train.batch_norm=frozen", *PLAIN)
SETTINGS = {
    "from scratch, 0.1": ("model.weights=null", "train.learning_rate=0.1", "train.layer_decay=1", *PLAIN),
    "linear probe, 0.03": (*PROBE, "train.learning_rate=0.03"),
    "linear probe, 0.1": (*PROBE, "train.learning_rate=0.1"),
    "0.01, crops and flips: `folder/finetune`": (),
    "0.01, crops and flips, 300 steps": ("train.steps=300",),
    "0.1, crops and flips": ("train.learning_rate=0.1",),
    "0.1": (*PLAIN, "train.learning_rate=0.1"),
    "0.03, frozen": (*FROZEN, "train.learning_rate=0.03"),
    "0.1, frozen": (*FROZEN, "train.learning_rate=0.1"),
    "0.1, frozen, TrivialAugment": (*FROZEN, "train.learning_rate=0.1", "data.auto_augment=trivial_augment_wide"),
    "0.1, frozen, layer decay 1": (*FROZEN, "train.learning_rate=0.1", "train.layer_decay=1"),
    "0.1, frozen, 40 steps": (*FROZEN, "train.learning_rate=0.1", "train.steps=40"),
}


def stripes(random):
    """Returns a background (32, 32, 3) of waves between two colors."""
    y, x = np.mgrid[:SIDE, :SIDE]
    angle, wave = random.uniform(0, 2 * np.pi), random.uniform(4, 30)
    share = 0.5 + 0.5 * np.sin((np.cos(angle) * x + np.sin(angle) * y) * 2 * np.pi / wave)[..., None]
    return share * random.uniform(0, 255, 3) + (1 - share) * random.uniform(0, 255, 3)


def digit(random, split, label):
    """Paints a handwritten digit, of the same split as in the pretrained network's training."""
    images, kinds = digits()
    pixels = images[random.choice(kinds[split, label])]
    side = random.randint(16, 29)
    glyph = Image.fromarray((pixels * 255 / 16).astype(np.uint8)).resize((side, side), 3)
    alpha, top, left = np.zeros((SIDE, SIDE, 1)), *random.randint(0, SIDE - side + 1, 2)
    alpha[top : top + side, left : left + side, 0] = np.asarray(glyph) / 255
    image = 0.5 * stripes(random)
    image = image if random.rand() < 0.5 else 255 - image
    ink = random.uniform(0, 255, 3)
    while np.abs(ink - image.mean((0, 1))).mean() < 60:
        ink = random.uniform(0, 255, 3)
    return image * (1 - alpha) + ink * alpha


@functools.cache
def digits():
    """Returns (images (N, 8, 8) in [0, 16], {(split, class): indices})."""
    bunch = load_digits()
    splits = split_indices(bunch.target)
    kinds = {
        (split, label): found[bunch.target[found] == label]
        for split, found in splits.items()
        for label in range(CLASSES)
    }
    return bunch.images, kinds


@functools.cache
def photographs():
    return [Image.fromarray(pixels) for pixels in load_sample_images().images]


FILTERS = (
    lambda image: image,
    lambda image: image.filter(ImageFilter.GaussianBlur(2)),
    lambda image: image.filter(ImageFilter.FIND_EDGES),
    lambda image: image.filter(ImageFilter.EMBOSS),
    lambda image: ImageOps.posterize(image, 2),
    lambda image: ImageOps.solarize(image, 100),
    lambda image: image.resize((SIDE // 3, SIDE // 3)).resize((SIDE, SIDE), 0),
    lambda image: image.filter(ImageFilter.MedianFilter(5)),
)


def filtered(random, split, label):
    """Returns a filtered part of a photograph: of its left 60 % for training, of the rest for the others."""
    part = Image.new("RGB", (SIDE, SIDE))
    while np.std(part) < 30:  # a filtered sky looks like any other
        photograph = photographs()[random.randint(2)]
        side, cut = random.randint(SIDE, 3 * SIDE), int(0.6 * photograph.width)
        left, end = (0, cut) if split == "train" else (cut, photograph.width)
        left, top = random.randint(left, end - side), random.randint(photograph.height - side)
        part = photograph.crop((left, top, left + side, top + side)).resize((SIDE, SIDE))
    return np.asarray(FILTERS[label](part)) * random.uniform(0.7, 1.2) + random.uniform(-20, 20, 3)


def star(points, inner, aspect=1.0):
    """Returns corners of a star; with inner=1 of a polygon."""
    angles, radii = np.arange(2 * points) * np.pi / points, np.tile([1, inner], points)
    return np.stack([radii * np.cos(angles), aspect * radii * np.sin(angles)], 1)


SHAPES = (
    star(20, 1),
    star(20, 1, 0.45),
    star(3, 0.5),
    star(4, np.sqrt(0.5)),
    star(4, 0.35),
    star(5, 0.4),
    star(4, np.sqrt(0.5), 0.35),
    np.concatenate([star(20, 1)[:21], 0.5 * star(20, 1)[20::-1]]),
)


def shape(random, split, label):
    """Paints a shape over lines and dots, at four times the size."""
    image = Image.fromarray(np.clip(stripes(random), 0, 255).astype(np.uint8)).resize((4 * SIDE, 4 * SIDE))
    draw = ImageDraw.Draw(image)
    color = lambda: tuple(map(int, random.randint(0, 256, 3)))  # noqa: E731
    for _ in range(random.randint(1, 4)):
        ends = [int(each) for each in random.randint(0, 4 * SIDE, 4)]
        draw.line(ends, color(), random.randint(2, 8))
        draw.ellipse((*ends[:2], ends[0] + 10, ends[1] + 10), color())
    angle, radius = random.uniform(-0.4, 0.4), random.uniform(36, 58)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    corners = SHAPES[label] @ turn * radius + random.uniform(radius, 4 * SIDE - radius, 2)
    draw.polygon([tuple(corner) for corner in corners], color(), color(), random.randint(1, 5))
    return np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BOX), float) + random.normal(0, 8, (SIDE, SIDE, 3))


SETS = {"digits": digit, "filters": filtered, "shapes": shape}
CASES = [f"{name} {count}" for count in TRAIN for name in SETS]


def make_folder(root, name, count, seed):
    """Writes FOLDER/split/class/*.png with `count` training images of a class, and returns its path."""
    path = os.path.join(root, f"{name}{count}-{seed}")
    if os.path.exists(path):
        return path
    for number, (split, images) in enumerate({"train": int(count), **IMAGES}.items()):
        for label in range(CLASSES):
            folder = os.path.join(path, split, f"class{label}")
            os.makedirs(folder, exist_ok=True)
            for i in range(images):
                random = np.random.RandomState((seed, list(SETS).index(name), number, label, i))
                pixels = np.clip(np.rint(SETS[name](random, split, label)), 0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(os.path.join(folder, f"{i}.png"))
    return path


class Runs:
    """Runs of one setting, which share the traced steps of one model: it receives the initial values of each run."""

    def __init__(self, weights, setting):
        self._changes = [f"data.image_size={SIDE}", "model.name=scene_resnet14", "model.version=null"]
        self._changes += [f"model.weights={weights}", "train.epochs=null", f"train.steps={STEPS}"]
        self._changes += ["eval.batch_size=100", "eval.crop_pct=1", *SETTINGS[setting]]
        self._strategy = tf.distribute.OneDeviceStrategy("CPU:0")
        self._model = None

    def test_error(self, folder, seed):
        """Trains a run on a folder and returns the test error in percent of its last weights."""
        changes = [f"data.name=folder:{folder}", f"train.seed={seed}", *self._changes]
        task, strategy = load_task(load_config(find_recipe("folder/finetune"), changes)), self._strategy
        model, optimizer = build_model_and_optimizer(task, strategy)
        task.start_from(model)
        if self._model is None:
            self._model, self._optimizer = model, optimizer
            self._train_step = make_train_step(task, model, optimizer, strategy)
            self._eval_step = make_eval_step(task, model, strategy)
        for ours, initial in zip(self._variables(), model.variables + optimizer.variables, strict=True):
            ours.assign(initial)
        batches = training_batches(task, strategy, 0)
        for _ in range(task.config.train.total_steps):
            self._train_step(next(batches))
        return Evaluator(task, self._model, strategy, step=self._eval_step)("test")["error"]

    def _variables(self):
        return self._model.variables + self._optimizer.variables


def mean(errors):
    return f"{statistics.mean(errors):.1f}"


def table(errors):
    """Yields the lines of a table of the errors {setting: {"digits 10": [percent of each seed]}}."""
    yield f"| setting | seeds | {' | '.join(CASES)} | {' | '.join(f'mean of {count}' for count in TRAIN)} |"
    yield "|---" * (2 + len(CASES) + len(TRAIN)) + "|"
    for name, row in errors.items():
        means = [mean([each for case in CASES if case.endswith(f" {count}") for each in row[case]]) for count in TRAIN]
        yield f"| {name} | {len(row[CASES[0]])} | {' | '.join([*(mean(row[case]) for case in CASES), *means])} |"


def main(weights, root, seeds="3"):
    path = os.path.join(root, "finetuning.json")
    errors = {}
    if os.path.exists(path):
        with open(path) as file:
            errors = json.load(file)
    runs = {name: Runs(weights, name) for name in SETTINGS}
    for seed in range(int(seeds)):
        folders = {case: make_folder(root, *case.split(), seed) for case in CASES}
        for name in SETTINGS:
            row = errors.get(name, {case: [] for case in CASES})
            if len(row[CASES[0]]) > seed:
                continue
            row = {case: [*row[case], runs[name].test_error(folders[case], seed)] for case in CASES}
            errors[name] = row
            print(name, seed, [row[case][-1] for case in CASES], file=sys.stderr, flush=True)
            with open(path, "w") as file:
                json.dump(errors, file, indent=1)
    print(*table({name: errors[name] for name in SETTINGS}), sep="\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
