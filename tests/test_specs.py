import dataclasses
import re

import pytest

from keras_resnet.specs import SPECS, Spec, variant


@pytest.mark.parametrize("name", list(SPECS))
def test_names_tell_the_layers(name):
    """ "cifar_resnet110" has 110 layers, "resnext50_32x4d" 50."""
    assert SPECS[name].layers == int(re.search(r"(?:net|next|plain|highway|bottleneck)(\d+)", name)[1])


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "cifar_resnet56"])
@pytest.mark.parametrize("version", ["1", "1.5", "2"])
def test_version_round_trip(name, version):
    assert variant(SPECS[name], version=version).version == version


def test_variant_keeps_what_is_not_named():
    assert variant(SPECS["cifar_resnet20"]) == SPECS["cifar_resnet20"]
    assert variant(SPECS["cifar_resnet20"], version="2").shortcut == "A"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"version": "3"}, "version must be one of"), ({"shortcut": "D"}, "shortcut must be one of")],
)
def test_unknown_variant(arguments, message):
    with pytest.raises(ValueError, match=message):
        variant(SPECS["resnet50"], **arguments)


def test_plain_nets_have_no_shortcut():
    with pytest.raises(ValueError, match="plain34 has no shortcuts"):
        variant(SPECS["plain34"], shortcut="A")


@pytest.mark.parametrize(
    "changes",
    [{"depths": (1, 2), "widths": (4,)}, {"depths": (), "widths": ()}, {"depths": (0,), "widths": (4,)}],
)
def test_contradictions_are_named(changes):
    with pytest.raises(ValueError, match=r"resnet18: depths and widths must be .*got depths="):
        dataclasses.replace(SPECS["resnet18"], **changes)


def test_specs_are_values():
    spec = SPECS["resnet18"]
    assert isinstance(spec, Spec)
    with pytest.raises(dataclasses.FrozenInstanceError):
        spec.name = "other"
