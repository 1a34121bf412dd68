"""Architectures are inferred from tensors."""

from dataclasses import replace

import numpy as np
import pytest

from keras_resnet import SPECS, build, from_weights, variant
from keras_resnet.description import Description
from keras_resnet.specs import IN_WEIGHTS, NOT_IN_WEIGHTS, first_different_option
from keras_resnet.weights.architecture_inference import recognize
from keras_resnet.weights.conversion import convert
from keras_resnet.weights.native import named_variables


def shapes_of(spec):
    return {path: tuple(variable.shape) for path, variable in named_variables(build(spec)).items()}


SMALL = {
    f"{spec.name}": replace(spec, depths=tuple(min(depth, 2) for depth in spec.depths))
    for spec in SPECS.values()
    if spec.skip != "none"
}
SMALL |= {
    "version2": variant(SMALL["resnet18"], version="2"),
    "option_a": variant(SMALL["resnet50"], shortcut="A"),
    "option_c": variant(SMALL["resnet34"], shortcut="C"),
    "official": variant(SMALL["resnet18"], first_projection="always", padding="same"),
    "no_normalization": variant(SMALL["cifar_resnet20"], normalization="none"),
}


@pytest.mark.sampled("official", "option_c")
@pytest.mark.parametrize("name", SMALL)
def test_recognize_infers_every_option_visible_in_tensors(name):
    spec = SMALL[name]
    found = recognize(shapes_of(spec), {name: spec.option(name) for name in NOT_IN_WEIGHTS}, "a file")
    assert first_different_option(found, spec, IN_WEIGHTS) is None


@pytest.mark.sampled("resnet18")
@pytest.mark.parametrize("name", ["resnet18", "resnet50", "cifar_resnet20", "resnet50d", "seresnext26d_32x4d"])
def test_recognize_gives_the_known_network(name):
    spec = SPECS[name]
    unseen = {name: spec.option(name) for name in NOT_IN_WEIGHTS}
    assert recognize(shapes_of(spec), unseen, "a file") == spec


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "version"),
    [("keras_resnet50v2", None), ("resnext50_32x4d", None), ("resnet50", "2"), ("seresnet18", None)],
)
def test_from_weights_reads_keras_weights_files_of_this_package(name, version, tmp_path, capsys):
    model = build(variant(SPECS[name], version=version), classes=3, input_shape=(32, 32, 3))
    path = str(tmp_path / "model.weights.h5")
    model.save_weights(path)
    loaded = from_weights(path, input_shape=(32, 32, 3), classifier_activation=None)
    assert loaded.description.spec == model.description.spec
    assert "assumed: strides and pooled projections, which tensors do not show" in capsys.readouterr().err
    for one, other in zip(model.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def damaged(change):
    shapes = shapes_of(SMALL["resnet18"])
    change(shapes)
    with pytest.raises(ValueError, match=r"^a file: ") as caught:
        recognize(shapes, {}, "a file")
    return str(caught.value)


@pytest.mark.slow
def test_recognize_names_missing_or_unknown_layers():
    def without_block(shapes):
        for path in [path for path in shapes if path.startswith("stage2_block1_")]:
            del shapes[path]

    assert "stage 2 has blocks up to 2, but no 1" in damaged(without_block)
    assert "first convolution of shape (5, 5, 3, 64)" in damaged(
        lambda s: s.update({"stem_conv/kernel": (5, 5, 3, 64)})
    )
    assert "has no residual blocks" in damaged(dict.clear)


def test_convert_refuses_metadata_that_contradicts_tensors():
    model = build(SPECS["cifar_resnet20"])
    arrays = {path: np.asarray(variable) for path, variable in named_variables(model).items()}
    metadata = model.description.to_metadata()
    assert convert(arrays, "a file", metadata).description == replace(model.description, source="a file")
    wide = replace(model.description, spec=replace(model.description.spec, widths=(16, 32, 10**6)))
    with pytest.raises(ValueError, match=r"a file: says that its network has widths=\(16, 32, 1000000\), its tensors"):
        convert(arrays, "a file", wide.to_metadata())
    with pytest.raises(ValueError, match="a file: the description of its network cannot be read"):
        convert(arrays, "a file", metadata | {"spec": "[1, 2]"})


def test_description_metadata_round_trip():
    description = Description(
        spec=SPECS["resnet50d"],
        preprocessing=build(SPECS["cifar_resnet20"]).description.preprocessing,
        labels=("a", "ü"),
    )
    assert Description.from_metadata(description.to_metadata()) == description
