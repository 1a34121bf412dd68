import dataclasses
import re

import pytest

from keras_resnet.specs import SPECS, Spec, variant


@pytest.mark.parametrize("name", list(SPECS))
def test_spec_layers_equal_the_number_in_the_name(name):
    """ "cifar_resnet110" has 110 layers, "resnext50_32x4d" 50."""
    assert SPECS[name].layers == int(re.search(r"(?:net|next|plain|highway|bottleneck)(\d+)", name)[1])


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "cifar_resnet56"])
@pytest.mark.parametrize("version", ["1", "1.5", "2"])
def test_variant_version_round_trip(name, version):
    assert variant(SPECS[name], version=version).version == version


def test_variant_keeps_other_options():
    assert variant(SPECS["cifar_resnet20"]) == SPECS["cifar_resnet20"]
    assert variant(SPECS["cifar_resnet20"], version="2").shortcut == "A"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"version": "3"}, "version must be one of"), ({"shortcut": "D"}, "shortcut must be one of")],
)
def test_variant_refuses_unknown_values(arguments, message):
    with pytest.raises(ValueError, match=message):
        variant(SPECS["resnet50"], **arguments)


def test_variant_refuses_a_shortcut_of_a_plain_network():
    with pytest.raises(ValueError, match="plain34 has no shortcuts"):
        variant(SPECS["plain34"], shortcut="A")


@pytest.mark.parametrize(
    "changes",
    [{"depths": (1, 2), "widths": (4,)}, {"depths": (), "widths": ()}, {"depths": (0,), "widths": (4,)}],
)
def test_spec_refuses_contradicting_depths_and_widths(changes):
    with pytest.raises(ValueError, match=r"resnet18: depths and widths must be .*got depths="):
        dataclasses.replace(SPECS["resnet18"], **changes)


def test_spec_is_immutable():
    spec = SPECS["resnet18"]
    assert isinstance(spec, Spec)
    with pytest.raises(dataclasses.FrozenInstanceError):
        spec.name = "other"
