"""Folders of timm, transformers and this package: their JSON files give preprocessing and class names."""

import json

import numpy as np
import pytest
import seeded
from conftest import GOLDEN
from safetensors.numpy import save_file
from weights_rig import logits, relative_error, state_of

import keras_resnet
from keras_resnet import from_weights
from keras_resnet.weights.loading import load_pretrained
from keras_resnet.weights.model_config import read_model_config

TIMM = {
    "architecture": "resnet18d",
    "num_classes": 1000,
    "label_names": [f"n{i:08d}" for i in range(1000)],
    "pretrained_cfg": {
        "tag": "x",
        "input_size": [3, 224, 224],
        "test_input_size": [3, 288, 288],
        "interpolation": "bicubic",
        "crop_pct": 0.9,
        "test_crop_pct": 1.0,
        "crop_mode": "center",
        "mean": [0.5, 0.5, 0.5],
        "std": [0.25, 0.25, 0.5],
        "classifier": "fc",
    },
}
PROCESSOR = {
    "crop_pct": 0.875,
    "do_normalize": True,
    "do_resize": True,
    "feature_extractor_type": "ConvNextFeatureExtractor",
    "image_mean": [0.485, 0.456, 0.406],
    "image_std": [0.229, 0.224, 0.225],
    "resample": 3,
    "size": 224,
}


def write(folder, **files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    return str(folder)


def changed(values, **changes):
    """Returns a copy with other fields, also in pretrained_cfg; None removes a field."""
    both = {key: value for key, value in (values | changes).items() if value is not None}
    about = both.get("pretrained_cfg")
    if about:
        both["pretrained_cfg"] = {k: v for k, v in (about | changes).items() if k in about and v is not None}
    return both


@pytest.fixture(scope="module")
def timm(tmp_path_factory):
    folder = tmp_path_factory.mktemp("timm")
    save_file(state_of("timm_resnet18d"), folder / "model.safetensors")
    return folder


@pytest.mark.slow
def test_from_weights_reads_preprocessing_of_a_timm_folder(timm, capsys):
    about = from_weights(write(timm, config=TIMM)).description
    assert about.preprocessing == keras_resnet.description.Preprocessing(
        mean=(127.5,) * 3,
        std=(63.75, 63.75, 127.5),
        image_size=288,
        crop_pct=1.0,
        interpolation="bicubic",
        channels=3,
    )
    assert about.labels == tuple(TIMM["label_names"])
    assert capsys.readouterr().err == ""
    # A path to a file in such a folder gives the same.
    assert load_pretrained(f"{timm}/model.safetensors").description.preprocessing.mean == (127.5,) * 3


def test_from_weights_arguments_override_the_model_config(timm):
    model = from_weights(write(timm, config=TIMM), image_size=64, crop_pct=0.8, interpolation="bilinear")
    about = model.description.preprocessing
    assert (about.image_size, about.crop_pct, about.interpolation, about.mean[0]) == (64, 0.8, "bilinear", 127.5)
    assert model.input_shape == (None, 64, 64, 3)


def test_read_model_config_of_older_timm_files(tmp_path):
    flat = {"architecture": "resnet18d", **TIMM["pretrained_cfg"], "labels": ["a", "b"]}
    del flat["test_input_size"], flat["test_crop_pct"]
    found = read_model_config(write(tmp_path, config=flat))
    assert (found.preprocessing["image_size"], found.preprocessing["crop_pct"]) == (224, 0.9)
    assert found.labels == ("a", "b")


def test_read_model_config_with_class_names_by_number(tmp_path):
    found = read_model_config(write(tmp_path, config=TIMM | {"label_names": {"1": "b", "0": "a"}}))
    assert found.labels == ("a", "b")


@pytest.mark.slow
@pytest.mark.parametrize("fixture", ["transformers_resnet18", "transformers_resnet50_v1"])
def test_transformers_weights_give_the_golden_logits(fixture, tmp_path):
    names = {str(i): f"class {i}" for i in range(1000)}
    config = {"model_type": "resnet", "id2label": names, "downsample_in_bottleneck": fixture.endswith("v1")}
    save_file(state_of(fixture), tmp_path / "model.safetensors")
    images, golden = seeded.images("rect"), np.load(GOLDEN / f"{fixture}.npz")["rect_logits"]
    folder = write(tmp_path, config=config, preprocessor_config=PROCESSOR)
    model = from_weights(folder, classifier_activation=None, input_shape=images.shape[1:])
    assert relative_error(logits(model, images), golden) < 2e-5
    assert model.description.labels[:2] == ("class 0", "class 1")
    assert model.description.preprocessing.interpolation == "bicubic"
    if fixture.endswith("v1"):  # without the file, no tensor shows the position of the stride
        (tmp_path / "config.json").unlink()
        other = from_weights(folder, classifier_activation=None, input_shape=images.shape[1:])
        assert relative_error(logits(other, images), golden) > 1e-2


@pytest.mark.parametrize(
    ("change", "size", "crop"),
    [
        ({}, 224, 0.875),
        ({"size": {"shortest_edge": 288}, "crop_pct": 0.9}, 288, 0.9),
        (
            {"image_processor_type": "BitImageProcessor", "do_center_crop": True, "crop_size": 224, "size": 256},
            224,
            0.875,
        ),
        (
            {
                "feature_extractor_type": "ConvNextImageProcessor",
                "do_center_crop": None,
                "size": {"shortest_edge": 64},
                "crop_pct": None,
            },
            64,
            0.875,
        ),
        (
            {
                "image_processor_type": "CLIPImageProcessor",
                "do_center_crop": True,
                "size": {"shortest_edge": 256},
                "crop_size": {"height": 192, "width": 192},
            },
            192,
            0.75,
        ),
    ],
)
def test_read_model_config_of_transformers_image_processors(tmp_path, change, size, crop):
    found = read_model_config(write(tmp_path, preprocessor_config=changed(PROCESSOR, **change)))
    assert found.preprocessing == {
        "mean": (123.675, 116.28, 103.53),
        "std": (58.395, 57.12, 57.375),
        "interpolation": "bicubic",
        "image_size": size,
        "crop_pct": crop,
    }


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"config": changed(TIMM, mean=[0.5, "x", 0.5])}, "config.json: mean"),
        ({"config": changed(TIMM, std=[0.0, 1.0, 1.0])}, "config.json: std"),
        ({"config": changed(TIMM, test_input_size=[3, 288, "x"])}, "config.json: input_size"),
        ({"config": changed(TIMM, test_crop_pct=1.5)}, "config.json: crop_pct 1.5: expected"),
        ({"config": changed(TIMM, crop_mode="squash")}, 'crop_mode "squash" is not done here'),
        ({"config": changed(TIMM, interpolation="lanczos")}, "config.json: interpolation 'lanczos'"),
        ({"config": TIMM | {"label_names": {"0": "a", "2": "b"}}}, "config.json: label_names: expected a name"),
        ({"config": TIMM | {"label_names": [1, 2]}}, "config.json: label_names: expected the names"),
        ({"config": [1]}, "config.json: expected one JSON object"),
        ({"config": {"model_type": "vit"}}, 'model_type "vit" is no network of this family'),
        ({"config": {"model_type": "resnet", "hidden_act": "gelu"}}, 'hidden_act "gelu"'),
        ({"config": {"model_type": "resnet", "downsample_in_first_stage": True}}, "downsample_in_first_stage"),
        ({"preprocessor_config": changed(PROCESSOR, resample=1)}, "preprocessor_config.json: resample 1"),
        ({"preprocessor_config": changed(PROCESSOR, size=384)}, "squeezed into a square from 384 on"),
        (
            {"preprocessor_config": changed(PROCESSOR, feature_extractor_type="ViTImageProcessor")},
            "ViTImageProcessor squeezes images into a square",
        ),
        ({"preprocessor_config": changed(PROCESSOR, rescale_factor="x")}, "rescale_factor 'x'"),
    ],
)
def test_read_model_config_names_invalid_fields(tmp_path, files, said):
    with pytest.raises(ValueError, match=said):
        read_model_config(write(tmp_path, **files))


def test_read_model_config_ignores_unrelated_json(tmp_path):
    assert read_model_config(str(tmp_path)) is None
    assert read_model_config(write(tmp_path, config={"name": "of something else"})) is None
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ValueError, match=r"config\.json: is not JSON"):
        read_model_config(str(tmp_path))


def test_load_pretrained_refuses_a_wrong_number_of_class_names(timm):
    with pytest.raises(ValueError, match=r"config\.json: names 2 classes, the weights have 1000"):
        load_pretrained(write(timm, config=TIMM | {"label_names": ["a", "b"]}))


@pytest.mark.slow
def test_from_weights_logs_assumed_preprocessing(timm, tmp_path, capsys):
    (tmp_path / "alone.safetensors").write_bytes((timm / "model.safetensors").read_bytes())
    from_weights(str(tmp_path / "alone.safetensors"), crop_pct=0.95)
    assert [line.partition("assumed: ")[2] for line in capsys.readouterr().err.splitlines()] == [
        "images are normalized by ImageNet's mean 123.675, 116.28, 103.53 and std 58.395, 57.12, 57.375",
        "images are resized and cropped by image_size 224, interpolation bilinear, the default of such networks",
    ]


@pytest.mark.parametrize(
    ("argument", "said"),
    [({"image_size": 0}, "image_size: got 0"), ({"crop_pct": 1.2}, "crop_pct"), ({"interpolation": "x"}, "bicubic")],
)
def test_load_pretrained_refuses_invalid_preprocessing_arguments(timm, argument, said):
    with pytest.raises(ValueError, match=said):
        load_pretrained(str(timm), **argument)


@pytest.mark.slow
def test_save_weights_keeps_the_image_size(timm, tmp_path):
    model = from_weights(write(timm, config=TIMM), input_shape=(64, 64, 3))
    keras_resnet.save_weights(model, str(tmp_path / "small.safetensors"))
    again = load_pretrained(str(tmp_path / "small.safetensors"))
    assert again.description.preprocessing == model.description.preprocessing
    assert again.description.preprocessing.image_size == 64
    assert again.assumed == ()
