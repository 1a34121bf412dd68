"""A run, its weights and its exports give the same outputs in every format."""

import json
import shutil
import zipfile
from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import run

import keras_resnet
from keras_resnet.commands.models import open_model
from keras_resnet.errors import ConfigError
from keras_resnet.inference.answers import ImageError, check_top_k
from keras_resnet.inference.benchmark import benchmark, examples, parity

KINDS = {"weights": 1e-6, "saved_model": 1e-5, "litert": 1e-4}  # of scores, absolute


@pytest.fixture(scope="module")
def models(finished_run, finished_export):
    """{name: a `Predictor`} of one network."""
    return {
        "run": open_model(str(finished_run)),
        "weights": open_model(str(finished_run / "weights" / "best.safetensors")),
        "saved_model": open_model(str(finished_export)),
        "litert": open_model(str(finished_export / "litert" / "1.tflite")),
    }


@pytest.fixture(scope="module")
def contents():
    """Returns images of several sizes, shapes, colors and formats, and one file that is not an image."""
    random = np.random.RandomState(0)

    def pixels(*shape):
        return random.randint(0, 256, shape).astype(np.uint8)

    return [
        tf.io.encode_png(pixels(8, 8, 1)).numpy(),
        tf.io.encode_jpeg(pixels(90, 60, 3)).numpy(),
        b"no image",
        tf.io.encode_png(pixels(20, 50, 3)).numpy(),
        tf.io.encode_jpeg(pixels(33, 31, 1)).numpy(),
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_predictors_give_the_same_predictions(models, contents, kind):
    expected, found = (models[name].answer(contents, 10 if name == "run" else 3) for name in ("run", kind))
    assert len(found) == len(contents)
    assert isinstance(found[2], ImageError)  # the other images still have predictions
    for i in (0, 1, 3, 4):
        scores = dict(zip(expected[i].labels, expected[i].scores, strict=True))
        assert list(found[i].labels) == [str(c) for c in found[i].classes]
        np.testing.assert_allclose(
            found[i].scores, [scores[label] for label in found[i].labels], atol=KINDS[kind] + 1e-7
        )
        np.testing.assert_allclose(found[i].scores[0], expected[i].scores[0], atol=KINDS[kind] + 1e-7)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_predictors_give_the_same_logits(models, kind):
    images = examples(models["run"])
    np.testing.assert_array_equal(examples(models[kind]), images)
    agreement = parity({"logits": models[kind].logits(images)}, {"logits": models["run"].logits(images)})
    assert agreement["relative_error"] <= max(KINDS[kind], 1e-7)
    assert agreement["top1_agreement"] == 1


@pytest.fixture(scope="module")
def cropped(tmp_path_factory):
    """Returns (weights, an export in several formats) of a network whose preprocessing crops the center of an image."""
    folder = tmp_path_factory.mktemp("cropped")
    keras.utils.set_random_seed(0)
    model = keras_resnet.CIFARResNet(8)
    about = model.description
    preprocessing = replace(about.preprocessing, crop_pct=0.5, interpolation="bicubic")
    about = replace(about, preprocessing=preprocessing, labels=tuple("abcdefghij"))
    weights, output = str(folder / "w.safetensors"), str(folder / "out")
    keras_resnet.save_weights(model, weights, about.to_metadata())
    (folder / "labels.txt").write_text("\n".join(about.labels))
    flags = [f"--weights={weights}", f"--output={output}", f"--labels={folder / 'labels.txt'}"]
    process = run("export.py", *flags, "--formats=saved_model,litert,onnx", "--precision=float32,float16")
    assert process.returncode == 0, process.stderr
    return weights, output


@pytest.mark.slow
@pytest.mark.parametrize(
    ("artifact", "tolerance"),
    [
        ("", 1e-5),
        ("litert/1.tflite", 1e-4),
        ("litert/1-batch1.tflite", 1e-4),
        ("litert/1-float16.tflite", 5e-3),
        ("onnx/1.onnx", 1e-4),
    ],
)
def test_artifacts_preprocess_images_as_their_weights(cropped, artifact, tolerance):
    weights, output = cropped
    picture = np.random.RandomState(0).randint(0, 256, (7, 9, 3)).astype(np.uint8).repeat(12, 0).repeat(12, 1)
    contents = [tf.io.encode_png(picture).numpy(), b"no image"]
    expected = open_model(weights).answer(contents, 10)[0]
    found, fault = open_model(f"{output}/{artifact}".rstrip("/")).answer(contents, 5)
    assert isinstance(fault, ImageError)
    scores = dict(zip(expected.classes, expected.scores, strict=True))
    np.testing.assert_allclose(found.scores, [scores[c] for c in found.classes], atol=tolerance)
    assert found.labels == tuple("abcdefghij"[c] for c in found.classes)


WITHOUT_TENSORFLOW = """
import sys
sys.modules["tensorflow"] = None  # importing it fails
from keras_resnet.__main__ import main
sys.argv[0] = "keras_resnet"
main()
"""


@pytest.mark.sampled("litert/1.tflite")
@pytest.mark.parametrize("artifact", ["litert/1.tflite", "onnx/1.onnx"])
def test_predict_and_benchmark_of_artifacts_run_without_tensorflow(models, finished_export, tmp_path, artifact):
    picture = np.random.RandomState(0).randint(0, 256, (70, 90, 1)).astype(np.uint8).repeat(2, 0).repeat(2, 1)
    (tmp_path / "a.jpg").write_bytes(tf.io.encode_jpeg(picture).numpy())
    (tmp_path / "b.png").write_bytes(tf.io.encode_png(picture).numpy())
    pictures = [str(tmp_path / name) for name in ("a.jpg", "b.png")]
    process = run("-c", WITHOUT_TENSORFLOW, "predict", f"{finished_export}/{artifact}", *pictures, "--format=json")
    assert process.returncode == 0, process.stderr
    expected = models["run"].answer([(tmp_path / name).read_bytes() for name in ("a.jpg", "b.png")], 5)
    for found, answer in zip(json.loads(process.stdout), expected, strict=True):
        assert [each["class"] for each in found["predictions"]] == list(answer.classes)
        np.testing.assert_allclose([each["score"] for each in found["predictions"]], answer.scores, atol=1e-4)
    timed = run(
        "-c", WITHOUT_TENSORFLOW, "benchmark", f"{finished_export}/{artifact}", "--seconds=0.1", "--format=json"
    )
    assert timed.returncode == 0, timed.stderr
    assert json.loads(timed.stdout)["rows"][0]["top1_agreement"] == 1.0


@pytest.mark.slow
@pytest.mark.parametrize("artifact", ["litert/1.tflite", "onnx/1.onnx"])
def test_copied_artifact_keeps_its_preprocessing(cropped, tmp_path, capsys, artifact):
    path = shutil.copy(f"{cropped[1]}/{artifact}", tmp_path)
    preprocessing = open_model(str(path)).preprocessing
    assert (preprocessing.crop_pct, preprocessing.interpolation) == (0.5, "bicubic")
    assert not capsys.readouterr().err


@pytest.mark.slow
def test_litert_file_without_description_logs_assumed_preprocessing(cropped, tmp_path, capsys):
    path = shutil.copy(f"{cropped[1]}/litert/1.tflite", tmp_path / "alone.tflite")
    content = path.read_bytes()
    path.write_bytes(content[: content.index(b"PK\x03\x04")])
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("labels.txt", "\n".join("abcdefghij"))
    model = open_model(str(path))
    assert model.preprocessing.crop_pct == 1
    assert model.labels == tuple("abcdefghij")
    assert "assumed: the central 100.0% of an image's shorter side" in capsys.readouterr().err


def test_predictors_have_the_labels_of_their_model(models):
    for model in models.values():
        assert model.labels == tuple("0123456789")


def test_check_top_k_default_and_limits(models):
    assert check_top_k(models["run"], None) == 5
    assert check_top_k(models["saved_model"], None) == 3
    assert check_top_k(models["litert"], 10) == 10
    with pytest.raises(ConfigError, match=r"--top_k=11: .* has 10 classes$"):
        check_top_k(models["run"], 11)
    with pytest.raises(ConfigError, match=r"--top_k=4: .* has 3 classes in an answer \(export.top_k\)"):
        check_top_k(models["saved_model"], 4)


def test_parity_by_hand():
    reference = {"logits": np.array([[4.0, 0.0], [0.0, 2.0]])}
    agreement = parity({"logits": np.array([[4.0, 0.5], [3.0, 2.0]])}, reference)
    assert agreement == {"relative_error": 0.75, "top1_agreement": 0.5}
    assert parity({"logits": np.zeros((2, 3))}, reference) is None


def test_benchmark_compares_speed_and_parity_of_models(models):
    """One model sleeps for 20 ms, the other does not."""
    import time

    class Slow:
        kind, source, image_shape, finds_boxes = "keras", "slow", models["litert"].image_shape, False

        def logits(self, images):
            time.sleep(0.02)
            return models["litert"].logits(images) + 1.0

    images = examples(models["litert"])
    rows = benchmark([models["litert"], Slow()], [1, 3], 0.0, [images, images])
    assert [(row.model == "slow", row.batch_size) for row in rows] == [(False, 1), (True, 1), (False, 3), (True, 3)]
    for row in rows:
        assert row.calls == 10
        assert row.median_ms <= row.p95_ms
        assert row.images_per_second <= 1.5 * 1000 * row.batch_size / row.median_ms
    assert rows[0].speed == 1
    assert rows[1].median_ms >= 20
    assert rows[1].speed < 0.9
    assert rows[0].parity["relative_error"] == 0
    largest = np.abs(models["litert"].logits(images)).max()
    assert rows[1].parity["relative_error"] == pytest.approx(1 / largest, rel=1e-3)
    assert rows[1].parity["top1_agreement"] == 1
