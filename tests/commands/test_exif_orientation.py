"""Photographs as phones write them: pixels as the sensor read them, and an EXIF tag that says how to turn them."""

import json

import numpy as np
import pytest
from conftest import TINY_RUN
from PIL import Image, ImageOps

from keras_resnet.config import Config
from keras_resnet.data.pipeline import Shard
from keras_resnet.task import load_task

# Orientation -> how the upright image is stored.
STORED = {
    1: lambda image: image,
    2: ImageOps.mirror,
    3: lambda image: image.rotate(180),
    4: ImageOps.flip,
    5: lambda image: image.transpose(Image.Transpose.TRANSPOSE),
    6: lambda image: image.transpose(Image.Transpose.ROTATE_90),
    7: lambda image: image.transpose(Image.Transpose.TRANSVERSE),
    8: lambda image: image.transpose(Image.Transpose.ROTATE_270),
}


def upright(seed=0):
    """Returns an image of 24 x 40 pixels in blocks of one gray, which JPEG stores exactly, however they are turned."""
    grays = np.random.RandomState(seed).permutation(15).reshape(3, 5) * 17
    return Image.fromarray(np.kron(grays, np.ones((8, 8))).astype(np.uint8))


def write_eight(folder, seed=0):
    folder.mkdir(parents=True)
    for orientation, turn in STORED.items():
        exif = Image.Exif()
        exif[0x112] = orientation
        turn(upright(seed)).save(folder / f"{orientation}.jpg", exif=exif, quality=98)
    return folder


def answers(cli, model, folder):
    process = cli("-m", "keras_resnet", "predict", model, folder, "--format=json", "--top_k=2")
    assert process.returncode == 0, process.stderr
    return [entry["predictions"] for entry in json.loads(process.stdout)]


@pytest.mark.sampled("{run}", "{export}/litert/1.tflite")
@pytest.mark.parametrize("model", ["{run}", "{export}/1", "{export}/litert/1.tflite", "{export}/onnx/1.onnx"])
def test_predict_gives_eight_orientations_one_prediction(finished_run, finished_export, cli, tmp_path, model):
    model = model.format(run=finished_run, export=finished_export)
    first, *others = answers(cli, model, write_eight(tmp_path / "photos"))
    assert len(others) == 7
    assert all(other == first for other in others)


def batch(folder, **data):
    values = {"name": f"folder:{folder}", "image_size": 24, "validation_fraction": 0, "test_fraction": 0} | data
    train = {"steps": 1, "batch_size": 16}
    config = {"model": {"name": "cifar_resnet8"}, "data": values, "train": train, "export": {"top_k": 1}}
    task = load_task(Config.model_validate(config))
    (images, targets), _ = next(iter(task.train_dataset(0, Shard(0, 1, 16))))
    evaluated = next(iter(task.eval_dataset("train", Shard(0, 1, 256))))[0][0][:16]
    return images.numpy(), targets.numpy()[:, 0] == 1, evaluated.numpy()


@pytest.mark.parametrize("crop", ["center", "scale_jitter", "random_resized"])
def test_folder_images_are_turned_unless_the_configuration_ignores_it(tmp_path, crop):
    """Of one image in eight orientations, training and evaluation see one image, or the eight as they are stored."""
    for name, seed in (("a", 0), ("b", 1)):
        write_eight(tmp_path / name, seed)
    more = {"crop": crop, "resize_range": [24, 24], "area_range": [1.0, 1.0]}
    for exif, distinct in (("apply", 1), ("ignore", 8)):
        images, is_a, evaluated = batch(tmp_path, exif_orientation=exif, **more)
        assert is_a.sum() == 8
        assert len({image.tobytes() for image in evaluated[:8]}) == distinct
        if crop == "center":  # the other crops differ from image to image
            assert len({image.tobytes() for image in images[is_a]}) == distinct


@pytest.mark.slow
def test_run_and_export_that_ignore_orientation(cli, tmp_path):
    """The run's configuration says so; predict, exports and the model card follow, and resuming with another fails."""
    for name, seed in (("a", 0), ("b", 1)):
        write_eight(tmp_path / "photos" / name, seed)
    sets = ["model.name=cifar_resnet8", f"data.name=folder:{tmp_path / 'photos'}", "data.image_size=24"]
    sets += [
        *TINY_RUN,
        "train.warmup_steps=0",
        "train.batch_size=4",
        "data.validation_fraction=0.25",
        "data.test_fraction=0",
    ]
    flags = ["--config=folder/scratch", f"--workdir={tmp_path / 'run'}", *(f"--set={each}" for each in sets)]
    process = cli("train.py", *flags, "--set=data.exif_orientation=ignore")
    assert process.returncode == 0, process.stderr
    assert "The EXIF orientation of JPEGs is ignored" in (tmp_path / "run/README.md").read_text()
    process = cli("train.py", *flags)
    assert process.returncode == 2
    assert "data.exif_orientation is ignore there and apply here" in process.stderr
    process = cli("export.py", f"--workdir={tmp_path / 'run'}", f"--output={tmp_path / 'export'}")
    assert process.returncode == 0, process.stderr
    report = json.loads((tmp_path / "export/1/export_report.json").read_text())
    assert report["preprocessing"]["exif_orientation"] == "ignore"
    for model in ("run", "export", "export/litert/1.tflite"):
        scores = [prediction[0]["score"] for prediction in answers(cli, tmp_path / model, tmp_path / "photos/a")]
        assert len(set(scores)) > 4, model


def test_boxes_need_upright_images(cli):
    process = cli("-m", "keras_resnet", "train", "--config=detection/scenes", "--set=data.exif_orientation=ignore")
    assert process.returncode == 2
    assert process.stderr.splitlines()[-1] == (
        "error: --set: data.exif_orientation: boxes are in pixels of the upright image; omit it"
    )
