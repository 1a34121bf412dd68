"""Published parameter counts and MACs, shapes, preprocessing and wrong arguments of built networks."""

import json
import re

import keras
import numpy as np
import pytest
from conftest import GOLDEN

from keras_resnet import complexity
from keras_resnet.analysis.complexity import count_network, read_complexities
from keras_resnet.builder import build
from keras_resnet.description import IMAGENET_MEAN, IMAGENET_STD
from keras_resnet.specs import SPECS, variant
from keras_resnet.weights.native import assign_tensors, named_variables

FIGURES = json.loads((GOLDEN / "published_figures.json").read_text())


def rows(figure):
    """Returns (network, option or key, published value) of one entry of the published figures."""
    for name, values in FIGURES[figure].items():
        if not name.startswith("_"):
            for key, value in values.items() if isinstance(values, dict) else [(None, values)]:
                yield name, key, value


@pytest.mark.sampled("resnet18-A-11515688", "plain18-None-11515688")
@pytest.mark.parametrize(("name", "option", "expected"), rows("imagenet_parameters_trainable"))
def test_imagenet_parameters_equal_published_counts(name, option, expected):
    model = build(variant(SPECS[name], shortcut=option), input_shape=(32, 32, 3))
    assert complexity(model).parameters == expected


@pytest.mark.slow
@pytest.mark.parametrize(("option", "depth", "expected"), rows("cifar10_parameters_trainable"))
def test_cifar_parameters_equal_published_counts(option, depth, expected):
    if depth != "1202":  # counted once, for analysis/complexity.json
        spec = variant(SPECS[f"cifar_resnet{depth}"], shortcut=option)
        assert complexity(build(spec)).parameters == expected
        if option == "A":  # no parameters in the shortcuts: the plain network has as many
            assert complexity(build(SPECS[f"cifar_plain{depth}"])).parameters == expected


def test_scene_plain14_is_scene_resnet14_without_projections():
    """1x1 projections with normalization to 48 channels of 28x28 pixels and to 96 of 14x14, at 224 pixels."""
    plain, residual = (read_complexities()[f"scene_{name}14"] for name in ("plain", "resnet"))
    assert residual["parameters"] - plain["parameters"] == 24 * 48 + 2 * 48 + 48 * 96 + 2 * 96
    assert residual["macs"] - plain["macs"] == 28 * 28 * 24 * 48 + 14 * 14 * 48 * 96


@pytest.mark.slow
@pytest.mark.parametrize(("name", "key", "expected"), rows("imagenet_multiply_adds"))
def test_imagenet_macs_equal_published_counts(name, key, expected):
    changes = {"version": key[1:]} if key.startswith("v") else {"shortcut": key}
    macs = complexity(build(variant(SPECS[name], **changes))).macs
    assert macs / 1e9 == pytest.approx(expected, abs=5e-4)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "changes", "key"),
    [
        ("resnet50", {"version": "1.5"}, "resnet50_v1.5"),
        ("resnet101", {"version": "1.5"}, "resnet101_v1.5"),
        ("cifar_resnet56", {"shortcut": "B"}, "cifar_resnet56_B"),
        ("cifar_plain56", {}, "cifar_plain56"),
        ("cifar_resnet110", {"shortcut": "B"}, "cifar_resnet110_B"),
    ],
)
def test_complexity_equals_pycls(name, changes, key):
    cost = complexity(build(variant(SPECS[name], **changes)))
    for figure, expected in FIGURES["pycls_complexity"][key].items():
        assert getattr(cost, figure) == expected


@pytest.mark.slow
@pytest.mark.parametrize(("key", "_", "expected"), rows("imagenet_parameters_total_with_batchnorm_statistics"))
def test_total_parameters_with_batch_norm_statistics(key, _, expected):
    assert build(
        SPECS[key.removesuffix("_B")], input_shape=(32, 32, 3), include_preprocessing=False
    ).count_params() == (expected)


def relative_error(actual, expected):
    return np.abs(actual - expected).max() / np.abs(expected).max()


PUBLISHED = {  # parameters: torchvision's num_params, timm's, keras.applications'; counts of the papers' descriptions
    "resnext50_32x4d": 25_028_904,
    "resnext101_32x8d": 88_791_336,
    "resnext101_64x4d": 83_455_272,
    "wide_resnet50_2": 68_883_240,
    "wide_resnet101_2": 126_886_696,
    "resnet50d": 25_576_264,
    "seresnet50": 28_088_024,
    "seresnext50_32x4d": 27_559_896,
    "keras_resnet50v2": 25_568_360,
    "keras_resnet101v2": 44_577_896,
    "keras_resnet152v2": 60_236_904,
    "cifar_preresnet164": 1_703_258,
    "cifar_preresnet1001": 10_327_706,
    "highway19": 2_256_838,
}
MULTIPLY_ADDS = {  # torchvision's _ops, in 1e9
    "resnext50_32x4d": 4.23,
    "resnext101_32x8d": 16.414,
    "resnext101_64x4d": 15.46,
    "wide_resnet50_2": 11.398,
    "wide_resnet101_2": 22.753,
}


def test_stored_counts_equal_published_counts():
    costs = read_complexities()
    assert {name: costs[name]["parameters"] for name in PUBLISHED} == PUBLISHED
    for name, expected in MULTIPLY_ADDS.items():
        assert costs[name]["macs"] / 1e9 == pytest.approx(expected, abs=5e-4)
    for option, depth, expected in rows("cifar10_parameters_trainable"):
        if option == "A":
            assert costs[f"cifar_resnet{depth}"]["parameters"] == expected


DEEP = ("cifar_resnet1202", "cifar_plain1202", "cifar_preresnet1001")


@pytest.mark.sampled("cifar_plain32", "highway19", "seresnet18")
@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow) if n in DEEP else n for n in SPECS])
def test_stored_counts_equal_the_built_models(name):
    assert read_complexities()[name] == count_network(name)


def keras_v2_names(path):
    """Converts keras.applications' variable path: conv2_block1_0_conv is stage1_block1_proj."""
    layer, variable = path.split("/")
    whole = {"conv1_conv": "stem_conv", "post_bn": "last_bn", "predictions": "logits"}
    if layer in whole:
        return f"{whole[layer]}/{variable}"
    stage, block, part = re.fullmatch(r"conv(\d)_(block\d+)_(.+)", layer).groups()
    part = {"0_conv": "proj", "preact_bn": "preact_bn"}.get(part) or "".join(reversed(part.split("_")))
    return f"stage{int(stage) - 1}_{block}_{part}/{variable}"


@pytest.mark.slow
def test_keras_resnet50v2_gives_the_logits_of_keras_applications():
    """The same weights give the same logits: stride at the end, biases, zero padding, also at an odd size."""
    random = np.random.RandomState(0)
    theirs = keras.applications.ResNet50V2(
        weights=None, input_shape=(96, 72, 3), classes=9, classifier_activation=None, include_top=True
    )
    for variable in theirs.variables:
        if len(variable.shape) == 1:
            variable.assign(random.uniform(0.5, 1.5, variable.shape))
    model = build(SPECS["keras_resnet50v2"], classes=9, input_shape=(96, 72, 3), include_preprocessing=False)
    arrays = {keras_v2_names(variable.path): variable.numpy() for variable in theirs.variables}
    assign_tensors(named_variables(model), arrays, "keras.applications")
    images = random.uniform(-1, 1, (2, 96, 72, 3)).astype(np.float32)
    assert relative_error(model.predict(images, verbose=0), theirs.predict(images, verbose=0)) < 2e-5


def test_stage_outputs_halve_size_and_double_width():
    model = build(SPECS["resnet18"], features_only=True)
    assert {name: tensor.shape[1:] for name, tensor in model.output.items()} == {
        "stage1": (56, 56, 64),
        "stage2": (28, 28, 128),
        "stage3": (14, 14, 256),
        "stage4": (7, 7, 512),
    }


def test_layer_names_are_stable():
    names = {layer.name for layer in build(SPECS["resnet50"], input_shape=(32, 32, 3)).layers}
    assert {"images", "preprocessing", "stem_conv", "stem_bn", "stage2_block1_conv1", "stage2_block1_bn1"} <= names
    assert {"stage2_block1_proj", "stage2_block1_proj_bn", "stage2_block1_add", "logits"} <= names


def preprocessed(channels, **arguments):
    model = build(SPECS["cifar_resnet20"], input_shape=(8, 8, channels), **arguments)
    inner = keras.Model(model.input, model.get_layer("preprocessing").output)
    return inner.predict(np.full((1, 8, 8, channels), 255, np.float32), verbose=0)[0, 0, 0]


def test_preprocessing_of_rgb_images():
    expected = (255 - np.array(IMAGENET_MEAN)) / IMAGENET_STD
    np.testing.assert_allclose(preprocessed(3), expected, rtol=1e-5)


def test_preprocessing_of_1_and_4_channels():
    """One channel uses the average of the three values; of four channels, the first three are RGB."""
    gray = (255 - np.mean(IMAGENET_MEAN)) / np.mean(IMAGENET_STD)
    np.testing.assert_allclose(preprocessed(1), [gray], rtol=1e-5)
    rgb = (255 - np.array(IMAGENET_MEAN)) / IMAGENET_STD
    np.testing.assert_allclose(preprocessed(4), [*rgb, gray], rtol=1e-5)


def test_preprocessing_with_given_mean_and_std():
    np.testing.assert_allclose(preprocessed(3, mean=(0, 0, 255), std=(255, 51, 1)), [1, 5, 0], rtol=1e-5)


def test_mixed_precision_keeps_preprocessing_and_logits_in_float32(policy):
    policy("mixed_bfloat16")
    model = build(SPECS["cifar_resnet20"])
    assert model.get_layer("preprocessing").compute_dtype == "float32"
    assert model.get_layer("stem_conv").compute_dtype == "bfloat16"
    assert model.output.dtype == "float32"


@pytest.mark.parametrize("classes", [0, -3])
def test_build_refuses_invalid_classes(classes):
    with pytest.raises(ValueError, match="classes must be a whole number of 1 or more"):
        build(SPECS["cifar_resnet20"], classes=classes)


@pytest.mark.parametrize("shape", [(32, 32), (32, 32, None), (1, 32, 32, 3)])
def test_build_refuses_an_invalid_input_shape(shape):
    with pytest.raises(ValueError, match="input_shape must be"):
        build(SPECS["cifar_resnet20"], input_shape=shape)


def layer_names(*arguments, **options):
    return [layer.name for layer in build(*arguments, **options).layers]


def test_build_with_drop_path_and_zero_init_last_gamma():
    spec = variant(SPECS["cifar_resnet20"], depths=(2, 2), widths=(4, 8))
    model = build(spec, drop_path_rate=0.2, zero_init_last_gamma=True)
    blocks = [f"stage{stage}_block{number}" for stage in (1, 2) for number in (1, 2)]
    assert sorted(set(layer_names(spec, drop_path_rate=0.2)) - set(layer_names(spec))) == [f"{b}_drop" for b in blocks]
    assert [model.get_layer(f"{name}_drop").rate for name in blocks] == pytest.approx([0.05, 0.1, 0.15, 0.2])
    zeros = {name for name in layer_names(spec) if "_bn" in name and not np.any(model.get_layer(name).gamma)}
    assert zeros == {f"{name}_bn2" for name in blocks}


@pytest.mark.parametrize(
    ("name", "dropout", "rates"),
    [
        ("highway19", None, {"stage2_dropout": 0.2, "stage3_dropout": 0.2, "dropout": 0.2}),
        ("highway19", 0.5, {"stage2_dropout": 0.5, "stage3_dropout": 0.5, "dropout": 0.5}),
        ("highway19", 0.0, {}),
        ("cifar_resnet20", None, {}),
        ("cifar_resnet20", 0.5, {"dropout": 0.5}),
    ],
)
def test_build_with_dropout(name, dropout, rates):
    model = build(SPECS[name], dropout=dropout)
    assert {layer.name: layer.rate for layer in model.layers if isinstance(layer, keras.layers.Dropout)} == rates


def test_build_highway19_layer_names():
    """Those of its first stage and transition, and its last."""
    names = layer_names(SPECS["highway19"])
    block = ("gate_pad", "conv1", "gate", "relu1", "carry")
    assert names[:4] == ["images", "preprocessing", "stem_conv", "stem_relu"]
    assert names[4:24] == [f"stage1_block{number}_{layer}" for number in range(1, 5) for layer in block]
    assert names[24:28] == ["stage2_pool", "stage2_dropout", "stage2_conv", "stage2_relu"]
    assert names[-5:] == ["last_conv", "last_relu", "pool", "dropout", "logits"]


@pytest.mark.slow
@pytest.mark.parametrize("version", ["1", "2"])
@pytest.mark.parametrize("shortcut", ["A", "B", "C"])
def test_build_highway19_variants(version, shortcut):
    """Its last 1x1 convolution and pre-activation's last normalization both end with an activation."""
    model = build(variant(SPECS["highway19"], version=version, shortcut=shortcut))
    assert model.output_shape == (None, 10)
