"""Mask R-CNN on a few painted scenes: trained, evaluated, exported and used by the commands that detectors have."""

import io
import json
import pathlib

import numpy as np
import pytest
import tensorflow as tf
from conftest import ROOT, tiny_task
from PIL import Image

from keras_resnet.commands import entry
from keras_resnet.config import load_config
from keras_resnet.data import scenes
from keras_resnet.data.object_masks import SIDE
from keras_resnet.data.pipeline import Shard
from keras_resnet.data.run_lengths import decode
from keras_resnet.errors import ConfigError
from keras_resnet.runs.folder import RunFolder
from keras_resnet.task import load_task
from keras_resnet.training.fit import fit
from keras_resnet.training.start import filled_in_from_weights
from keras_resnet.weights.native import save_weights

RECIPE = str(ROOT / "configs/detection/scenes_mask.yaml")
TINY = [
    *("train.steps=4", "train.optimizer=sgd", "train.eval_every=4", "train.warmup_steps=0", "train.log_every=2"),
    *("eval.batch_size=4", "data.image_size=64", "detector.min_level=3", "detector.score_threshold=0"),
    "detector.anchor_sizes=[[12, 17], [24, 34]]",
]


@pytest.fixture(scope="module", autouse=True)
def few_scenes():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scenes, "SCENES", {"train": 24, "validation": 6, "test": 5})
        yield


@pytest.fixture(scope="module")
def trained(strategies, tmp_path_factory):
    """Returns the folder of a finished run."""
    task = tiny_task(load_config(RECIPE, TINY))
    folder = RunFolder(str(tmp_path_factory.mktemp("masks") / "run"))
    folder.claim(task.config, task.description)
    fit(task, strategies[1], folder)
    return folder


@pytest.mark.slow
def test_training_images_have_the_masks_of_their_objects():
    """Scenes at their own size without jitter: a mask covers the pixels of its box that the scene says."""
    task = load_task(load_config(RECIPE, ["data.scale_range=[1, 1]", "data.image_size=128", "train.batch_size=4"]))
    (images, objects, _), _ = next(iter(task.train_dataset(0, Shard(0, 1, 4))))
    painted = [scenes.paint_scene("train", i) for i in range(24)]
    for image, boxes, masks, valid in zip(
        images.numpy(), *(objects[name].numpy() for name in ("mask_boxes", "masks", "valid")), strict=True
    ):
        scene = next(each for each in painted if np.array_equal(each.image, image))
        for i in np.flatnonzero(valid):
            y1, x1, y2, x2 = boxes[i].astype(int)
            y, x = (low + (np.arange(SIDE) + 0.5) * (high - low) / SIDE for low, high in ((y1, y2), (x1, x2)))
            np.testing.assert_array_equal(masks[i], scene.masks[i][y.astype(int)][:, x.astype(int)])


def test_weights_with_masks_start_a_detector_without(tmp_path):
    """The features of the stem, which only masks have, are no option of it; all that it has comes from the weights."""
    path = str(tmp_path / "masks.safetensors")
    save_weights(load_task(load_config(RECIPE, TINY)).build_model(), path)
    settings = ["data.name=scenes", "data.image_size=64", "model.name=scene_resnet14", "train.warmup_steps=0"]
    config = load_config(str(ROOT / "configs/detection/finetune.yaml"), [*settings, f"model.weights={path}"])
    task = load_task(filled_in_from_weights(config))
    model = task.build_model()
    assert (model.options.min_level, model.options.mask_stem_features) == (3, False)
    assert task.start_from(model) == path


def test_sets_without_masks_are_refused(tmp_path):
    config = load_config(RECIPE, [f"data.name=voc:{tmp_path}"])
    with pytest.raises(ConfigError, match="masks are read from coco, scenes, tfrecord, not from voc"):
        load_task(config)


def test_mask_features_are_those_of_the_pyramid_and_of_the_stem():
    """A stem that counts rows: RoIAlign of 14 bins over rows 8 to 36 of the image has the rows of their centers."""
    model = tiny_task(load_config(RECIPE, TINY)).build_model()
    features = model.feature_maps(tf.zeros((1, 64, 64, 3)))
    assert features[1].shape == (1, 32, 32, 24)
    features = {level: tf.zeros_like(each) for level, each in features.items()}
    features[1] += tf.range(32.0)[:, None, None]
    found = model.mask_features(features, tf.constant([[[8.0, 12.0, 36.0, 40.0]]])).numpy()
    assert found.shape == (1, 14, 14, 48 + 24)
    assert not found[..., :48].any()
    expected = (8 + 2 * (np.arange(14) + 0.5)) / 2 - 0.5
    np.testing.assert_allclose(found[0, ..., 48:], np.broadcast_to(expected[:, None, None], (14, 14, 24)), atol=1e-5)


def test_stems_without_pooling_have_no_features_for_masks():
    config = load_config(RECIPE, [*TINY, "model.name=cifar_resnet20"])
    with pytest.raises(ConfigError, match="mask_stem_features: true, but the stem of cifar_resnet20 has no pooling"):
        tiny_task(config).build_model()


@pytest.mark.slow
def test_run_has_mask_metrics_and_predicts_masks(trained, tmp_path, capsys):
    lines = [json.loads(line) for line in pathlib.Path(trained.metrics).read_text().splitlines()]
    last = {key: value for line in lines for key, value in line.items()}
    assert last["train/mask_loss"] > 0
    assert 0 <= last["validation/mask_ap"] <= 1
    path = str(tmp_path / "wide.png")
    pixels = np.random.RandomState(3).randint(0, 255, (60, 200, 3), np.uint8)
    tf.io.write_file(path, tf.io.encode_png(pixels))
    plot = f"--plot={tmp_path / 'found.png'}"
    entry.call("predict", [trained.path, path, "--format=json", "--min_score=0", plot])
    found = json.loads(capsys.readouterr().out)[0]["predictions"]
    assert found
    for each in found:
        assert each["segmentation"]["size"] == [60, 200]
        mask = decode(each["segmentation"]["counts"].encode(), (60, 200))
        x, y, width, height = each["bbox"]
        rows, columns = np.nonzero(mask)
        assert np.all((y - 1 <= rows) & (rows <= y + height))
        assert np.all((x - 1 <= columns) & (columns <= x + width))


@pytest.mark.slow
def test_every_exported_format_finds_the_masks_of_the_run(trained, tmp_path, capsys):
    output = tmp_path / "out"
    flags = ["--formats=saved_model,litert,onnx", "--precision=float32,float16"]
    entry.call("export", [f"--workdir={trained.path}", f"--output={output}", *flags])
    report = json.loads((output / "1" / "export_report.json").read_text())
    for artifact in report["artifacts"]:
        assert artifact["parity"]["mask_error"] < (1e-3 if artifact["precision"] == "float32" else 0.1)
        assert not {name for name in artifact.get("operators", {}) if name.startswith(("Flex", "CUSTOM"))}
    assert "mask error" in capsys.readouterr().out
    path = str(tmp_path / "wide.png")
    pixels = np.random.RandomState(3).randint(0, 255, (60, 200, 3), np.uint8)
    tf.io.write_file(path, tf.io.encode_png(pixels))
    models = [trained.path, output, *(a["path"] for a in report["artifacts"] if a["precision"] == "float32")]
    masks = []
    for model in models:
        entry.call("predict", [str(model), path, "--format=json", "--min_score=0"])
        found = json.loads(capsys.readouterr().out)[0]["predictions"]
        masks.append(np.stack([decode(each["segmentation"]["counts"].encode(), (60, 200)) for each in found]))
    for others in masks[1:]:
        assert np.mean(others != masks[0]) < 1e-3
    check_odd_images(tf.saved_model.load(str(output / "1")))


def odd_images():
    """Returns twenty files that users send: blank, of one pixel, very long, gray, CMYK, truncated, and no image."""
    random = np.random.RandomState(0)
    sizes = ((1, 1), (30, 400), (400, 30), (2, 3), (500, 500), (64, 64), (37, 91))
    images = [Image.fromarray(random.randint(0, 255, (*size, 3), np.uint8)) for size in sizes]
    images += [Image.new("RGB", (90, 60), color) for color in ("black", "white", "red")]
    images += [images[6].convert(mode) for mode in ("L", "CMYK", "P", "1")]
    contents = []
    for i, image in enumerate(images):
        file = io.BytesIO()
        image.save(file, "PNG" if image.mode in ("P", "1") or (i % 2 and image.mode != "CMYK") else "JPEG")
        contents.append(file.getvalue())
    long = io.BytesIO()
    Image.new("RGB", (4000, 30)).save(long, "PNG")
    return [
        *contents,
        long.getvalue(),
        contents[4][: len(contents[4]) // 2],
        b"",
        b"no image",
        contents[5][:20],
        b"GIF89a",
    ]


def check_odd_images(model):
    """Good rows of 50 requests of 20 images equal those of requests alone; bad ones have a status and no object."""
    serve, contents, random = model.signatures["serving_default"], odd_images(), np.random.RandomState(1)
    alone = [{name: value.numpy()[0] for name, value in serve(tf.constant([each])).items()} for each in contents]
    good = [each["status"] == b"OK" for each in alone]
    assert sum(good) == 14
    assert len(contents) == 20
    for _ in range(50):
        order = random.permutation(20)
        found = {name: value.numpy() for name, value in serve(tf.constant([contents[i] for i in order])).items()}
        for row, i in enumerate(order):
            assert found["status"][row] == alone[i]["status"]
            assert found["num_detections"][row] == alone[i]["num_detections"]
            for name in ("boxes", "scores", "masks"):
                np.testing.assert_allclose(found[name][row], alone[i][name], atol=1e-4, err_msg=f"{name} of image {i}")
            if not good[i]:
                assert not found["num_detections"][row]
                assert not found["masks"][row].any()
