"""Commands on detectors of other libraries: conversion, prediction, evaluation, fine-tuning on other classes."""

import hashlib
import json
from dataclasses import replace

import keras
import numpy as np
import pytest
from PIL import Image, ImageDraw
from safetensors.numpy import load_file, save_file

from keras_resnet.config.detector_options import DetectorOptions as Options
from keras_resnet.description import Description, Preprocessing
from keras_resnet.detection.detector import build_detector, with_options
from keras_resnet.detectors import COCO_LABELS, DETECTORS
from keras_resnet.specs import SPECS, variant
from keras_resnet.weights import loading, published
from keras_resnet.weights.detectors import torchvision_state
from keras_resnet.weights.loading import load_pretrained
from keras_resnet.weights.native import named_variables, to_tensors

COMMAND = ("-m", "keras_resnet")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def theirs(tmp_path_factory):
    """A Faster R-CNN of version 2, of ResNet-18 and COCO's classes, with random weights in torchvision's names."""
    keras.utils.set_random_seed(0)
    options = DETECTORS["fasterrcnn_resnet50_fpn_v2"].options | {"fpn_channels": 16, "box_features": 32}
    preprocessing = Preprocessing(image_size=64, channels=3, crop_pct=1.0, resize="letterbox")
    spec = variant(SPECS["resnet18"], version="1.5")
    description = Description(spec=spec, preprocessing=preprocessing, labels=COCO_LABELS)
    model = build_detector(with_options(description, Options.model_validate(options)))
    scores = model.box_head.get_layer("box_scores")
    scores.kernel.assign(300 * scores.kernel)  # so that some scores are above the threshold
    path = tmp_path_factory.mktemp("theirs") / "fasterrcnn.safetensors"
    state = torchvision_state(to_tensors(named_variables(model)), model.description)
    save_file({name: np.asarray(value, order="C") for name, value in state.items()}, path)
    return path


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """A folder in COCO's layout: 8 images of rings and boxes, of 48 x 64 pixels, in two splits."""
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.RandomState(0)
    for split, count in (("train2017", 6), ("val2017", 2)):
        (folder / split).mkdir()
        images, annotations = [], []
        for i in range(count):
            image = Image.fromarray(rng.randint(0, 60, (48, 64, 3)).astype(np.uint8))
            for category in (5, 9):
                x, y, side = *rng.randint(0, 24, 2), rng.randint(12, 24)
                draw = ImageDraw.Draw(image)
                (draw.ellipse if category == 5 else draw.rectangle)([x, y, x + side, y + side], outline="red", width=3)
                box = {"image_id": i, "category_id": category, "bbox": [int(x), int(y), int(side), int(side)]}
                annotations.append(box | {"id": len(annotations) + 1, "iscrowd": 0, "area": int(side) ** 2})
            image.save(folder / split / f"{i}.png")
            images.append({"id": i, "file_name": f"{i}.png", "height": 48, "width": 64})
        categories = [{"id": 5, "name": "ring"}, {"id": 9, "name": "box"}]
        path = folder / "annotations" / f"instances_{split}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    return folder


def test_convert_weights_of_a_detector_round_trip_and_predict(theirs, photos, tmp_path, cli):
    ours, again = tmp_path / "ours.safetensors", tmp_path / "again.safetensors"
    process = cli(*COMMAND, "convert-weights", theirs, ours, "--image_size=64")
    assert process.returncode == 0, process.stderr
    assert "Faster R-CNN of 80 classes" in process.stdout
    assert "64 pixels, fitted into a square" in process.stdout
    assert "assumed: 91 outputs are COCO's 80 classes, 10 numbers of no class and the background" in process.stderr
    process = cli(*COMMAND, "convert-weights", ours, again, "--to=torchvision")
    assert process.returncode == 0, process.stderr
    state, written = load_file(theirs), load_file(again)
    assert written.keys() == state.keys()
    for name, value in state.items():
        np.testing.assert_array_equal(written[name], value)
    answers = []
    for path in (theirs, ours, again):
        flags = ("--image_size=64",) if path == theirs else ()
        process = cli(*COMMAND, "predict", path, photos / "val2017", "--format=json", "--min_score=0", *flags)
        assert process.returncode == 0, process.stderr
        answers.append(json.loads(process.stdout))
    assert answers[0] == answers[1] == answers[2]
    objects = [each["label"] for answer in answers[0] for each in answer["predictions"]]
    assert objects
    assert {*objects} <= {*COCO_LABELS}
    process = cli(*COMMAND, "convert-weights", ours, tmp_path / "timm.safetensors", "--to=timm")
    assert process.returncode == 2
    assert process.stderr.strip().endswith("resnet18_detector: timm has no detectors of this kind")


def test_finetune_replaces_the_layers_of_the_classes(theirs, photos, tmp_path, cli):
    """The options of the detector come with the weights; the run writes a file that torchvision loads."""
    run = tmp_path / "run"
    settings = {"model.weights": theirs, "data.name": f"coco:{photos}", "model.name": "resnet18"}
    settings |= {"data.image_size": 64, "train.epochs": "null", "train.steps": 2, "train.warmup_steps": 0}
    settings |= {"train.batch_size": 2, "eval.batch_size": 2}
    flags = [f"--set={name}={value}" for name, value in settings.items()]
    process = cli(*COMMAND, "train", "--config=detection/finetune", f"--workdir={run}", *flags)
    assert process.returncode == 0, process.stderr
    said = " ".join(process.stdout.split())
    assert "box_scores, box_deltas start new: 2 classes, the weights have 80" in said
    saved = (run / "config.yaml").read_text()
    for line in ("anchor_convention: torchvision", "box_convolutions: 4", "fpn_channels: 16", "unused_outputs: 0"):
        assert line in saved
    before, after = load_pretrained(str(theirs), detectors=True).arrays, load_file(run / "weights/last.safetensors")
    np.testing.assert_array_equal(after["stage1_block1_conv1/kernel"], before["stage1_block1_conv1/kernel"])  # frozen
    for path, value in before.items():
        if path.startswith(("fpn_", "rpn_", "stage4")):
            assert np.abs(after[path] - value).max() < 0.1
    assert after["box_scores/kernel"].shape == (32, 3)
    target = tmp_path / "own.safetensors"
    process = cli(*COMMAND, "convert-weights", run / "weights/last.safetensors", target, "--to=torchvision")
    assert process.returncode == 0, process.stderr
    shapes = {name: value.shape for name, value in load_file(target).items()}
    expected = {name: value.shape for name, value in load_file(theirs).items()}
    predictor = "roi_heads.box_predictor."
    expected |= {f"{predictor}cls_score.weight": (3, 32), f"{predictor}cls_score.bias": (3,)}
    assert shapes == expected | {f"{predictor}bbox_pred.weight": (12, 32), f"{predictor}bbox_pred.bias": (12,)}
    process = cli(*COMMAND, "evaluate", target, f"--set=data.name=coco:{photos}", "--set=eval.batch_size=2")
    assert process.returncode == 0, process.stderr
    assert "on coco:" in process.stdout
    process = cli(*COMMAND, "evaluate", theirs, f"--set=data.name=coco:{photos}", "--image_size=64")
    assert process.returncode == 3
    assert 'its classes are not the model\'s: "ring", "box" (2), not "person"' in process.stderr
    process = cli(*COMMAND, "train", "--config=detection/finetune", f"--workdir={run}", *flags)
    assert process.returncode == 0, process.stderr


@pytest.fixture(scope="module")
def devkit(tmp_path_factory):
    """A VOCdevkit of 2007 and 2012 with 3 images of 48 x 64 pixels each, all with a dog; c of 2007 is for test."""
    folder = tmp_path_factory.mktemp("VOCdevkit")
    for year in ("VOC2007", "VOC2012"):
        for part in ("JPEGImages", "Annotations", "ImageSets/Main"):
            (folder / year / part).mkdir(parents=True)
        for name in "abc":
            image = Image.fromarray(np.full((48, 64, 3), 40, np.uint8))
            ImageDraw.Draw(image).ellipse([9, 9, 39, 39], fill="red")
            image.save(folder / year / f"JPEGImages/{name}.jpg")
            box = "<xmin>10</xmin><ymin>10</ymin><xmax>40</xmax><ymax>40</ymax>"
            thing = f"<object><name>dog</name><bndbox>{box}</bndbox></object>"
            (folder / year / f"Annotations/{name}.xml").write_text(f"<annotation>{thing}</annotation>")
        for name, images in (("trainval", "a\nb\n"), ("test", "c\n")):
            (folder / year / f"ImageSets/Main/{name}.txt").write_text(images)
    return folder


def test_voc_recipe_starts_from_a_detector_of_coco(theirs, devkit, tmp_path, cli):
    """Two steps on 07+12: the layers of VOC's 20 classes are new, the others and the options are the detector's."""
    run = tmp_path / "run"
    settings = {"model.weights": theirs, "data.name": f"voc:{devkit}", "model.name": "resnet18"}
    settings |= {"data.image_size": 64, "train.epochs": "null", "train.steps": 2, "train.warmup_steps": 0}
    settings |= {"train.batch_size": 2, "eval.batch_size": 1, "data.validation_fraction": 0.25}
    flags = [f"--set={name}={value}" for name, value in settings.items()]
    process = cli(*COMMAND, "train", "--config=detection/voc0712_from_coco", f"--workdir={run}", *flags)
    assert process.returncode == 0, process.stderr
    said = " ".join(process.stdout.split())
    assert "box_scores, box_deltas start new: 20 classes, the weights have 80" in said
    assert "3 train, 1 validation, 1 test" in said
    before, after = load_pretrained(str(theirs), detectors=True).arrays, load_file(run / "weights/last.safetensors")
    assert after["box_scores/kernel"].shape == (32, 21)
    for path, value in before.items():
        if path.startswith(("fpn_", "rpn_", "stage4")):
            assert np.abs(after[path] - value).max() < 0.01
    process = cli(*COMMAND, "evaluate", run, "--split=test", "--protocol=voc07")
    assert process.returncode == 0, process.stderr
    assert "VOC07 AP" in process.stdout


def test_published_file_is_checked_by_its_name_and_converted_once(theirs, tmp_path, monkeypatch):
    """A stand-in for torchvision's server and for Torch: eight digits are the first ones of the file's sha256."""
    source = tmp_path / "fasterrcnn.pth"
    source.write_bytes(b"PK\x03\x04 archive/data.pkl")
    digits = hashlib.sha256(source.read_bytes()).hexdigest()[:8]
    name, read = "torchvision/fasterrcnn_resnet50_fpn_v2.COCO_V1", []
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(loading, "read_torch_file", lambda path: read.append(path) or load_file(theirs))
    entry = published.Entry(name=name, url=source.as_uri(), network="fasterrcnn_resnet50_fpn_v2", checksum="0" * 8)
    monkeypatch.setattr(published, "entries", lambda: {name: entry})
    with pytest.raises(ValueError, match=r"has not the checksum 00000000; nothing was saved$"):
        load_pretrained(name, detectors=True)
    entry = replace(entry, checksum=digits)
    found = load_pretrained(name, detectors=True)
    assert found.assumed == ()
    assert found.description.labels == COCO_LABELS
    trunk = load_pretrained(name)
    assert trunk.description.detector == {}
    assert not [path for path in trunk.arrays if path.startswith("fpn_")]
    assert len(read) == 1
