import dataclasses
import inspect
import json
import pathlib
import re
import sys
import types

import pytest
from conftest import GOLDEN

from keras_resnet import options, specs
from keras_resnet.config.model import WEIGHT_OPTIONS as CONFIGURED_WEIGHT_OPTIONS
from keras_resnet.config.model import Model
from keras_resnet.description import Description
from keras_resnet.options import Implementation, LayerOptions
from keras_resnet.specs import OPTIONS, SPECS, TRAINING_ARGUMENTS, Spec, check_training_arguments, effective, variant

DESCRIPTIONS = json.loads((GOLDEN / "descriptions_0_2.json").read_text())


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
    with pytest.raises(dataclasses.FrozenInstanceError):
        spec.implementation.padding = "same"


def test_variant_finds_the_group_of_an_option():
    spec = variant(SPECS["resnet50"], version="1.5", shortcut="C", activation="sigmoid", padding="same")
    assert spec.implementation == Implementation(stride_in="3x3", padding="same")
    assert spec.layer == LayerOptions(activation="sigmoid")
    assert spec == dataclasses.replace(
        SPECS["resnet50"], shortcut="C", layer=spec.layer, implementation=spec.implementation
    )
    assert [spec.option(name) for name in ("version", "shortcut", "padding", "activation")] == [
        *("1.5", "C", "same", "sigmoid")
    ]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("paddding", r"^unknown option 'paddding'; did you mean \"padding\"\?$"),
        ("drop_path_rate", "^drop_path_rate is an argument of keras_resnet.build, not an option of a network$"),
    ],
)
def test_variant_refuses_unknown_options(name, message):
    with pytest.raises(ValueError, match=message):
        variant(SPECS["resnet50"], **{name: "same"})


@pytest.mark.parametrize("name", ["paddding", "drop_path_rate"])
def test_variant_refuses_unknown_options_that_are_none(name):
    with pytest.raises(ValueError, match=f"{name}.*(did you mean|is an argument of keras_resnet.build)"):
        variant(SPECS["resnet50"], **{name: None})


@pytest.mark.parametrize("kind", [LayerOptions, Implementation])
def test_groups_refuse_unknown_values(kind):
    for field in dataclasses.fields(kind):
        with pytest.raises(ValueError, match=f"^{field.name} must be one of .*, got 'other'$"):
            kind(**{field.name: "other"})


@pytest.mark.parametrize("kind", [Spec, LayerOptions, Implementation])
def test_docstring_describes_every_field(kind):
    described = set(re.findall(r"^    (\w+): ", inspect.getdoc(kind), re.MULTILINE))
    assert {field.name for field in dataclasses.fields(kind)} <= described


@pytest.mark.parametrize(("number", "text"), [(1, "1"), (1.0, "1"), (1.5, "1.5"), (2, "2")])
def test_variant_takes_the_version_as_a_number(number, text):
    assert variant(SPECS["resnet50"], version=number) == variant(SPECS["resnet50"], version=text)


@pytest.mark.parametrize("version", [3, True, "v2"])
def test_variant_refuses_other_versions(version):
    with pytest.raises(ValueError, match=rf"version must be one of \('1', '1.5', '2'\), got {version!r}"):
        variant(SPECS["resnet50"], version=version)


def test_lists_of_options_are_what_weights_show():
    """The lists as they were kept by hand."""
    shown = {"stem", "block", "depths", "widths", "skip", "shortcut", "preactivation", "groups", "width_per_group"}
    shown |= {"se_reduction", "normalization", "conv_bias", "first_projection"}
    assert {*specs.IN_WEIGHTS} == shown
    assert {*specs.NOT_IN_WEIGHTS} == {*OPTIONS} - shown
    implementation = {field.name for field in dataclasses.fields(Implementation)}
    assert {*specs.WEIGHT_OPTIONS} == implementation | {"shortcut", "preactivation"}
    assert {*specs.NETWORK_OPTIONS} == (shown - {*specs.WEIGHT_OPTIONS}) | {"avg_down"}
    assert (
        *("version", "shortcut", "zero_padding_position", "padding", "first_projection", "first_shortcut"),
    ) == CONFIGURED_WEIGHT_OPTIONS


def source(module):
    return pathlib.Path(module.__file__).read_text()


@pytest.mark.parametrize(
    ("declaration", "group", "lists"),
    [
        ('new: str = "x"', "LayerOptions", {"IN_WEIGHTS", "NETWORK_OPTIONS"}),
        ('new: str = option("x", in_weights=False)', "LayerOptions", {"NOT_IN_WEIGHTS"}),
        ('new: str = "x"', "Implementation", {"IN_WEIGHTS", "WEIGHT_OPTIONS"}),
        ('new: str = option("x", in_weights=False)', "Implementation", {"NOT_IN_WEIGHTS", "WEIGHT_OPTIONS"}),
    ],
)
def test_new_option_enters_all_lists(monkeypatch, declaration, group, lists):
    """Declared in the source of options.py and nowhere else."""
    old = "\n    normalization:" if group == "LayerOptions" else "\n    conv_bias:"
    text = source(options).replace(old, f"\n    {declaration}{old}", 1)
    changed = {"options": text, "specs": source(specs)}
    modules = {name: types.ModuleType(f"keras_resnet.{name}") for name in changed}
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, f"keras_resnet.{name}", module)
        exec(compile(changed[name], f"{name}.py", "exec"), module.__dict__)
    new = modules["specs"]
    names = ("IN_WEIGHTS", "NOT_IN_WEIGHTS", "WEIGHT_OPTIONS", "NETWORK_OPTIONS")
    assert {name for name in names if "new" in getattr(new, name)} == lists
    spec = new.variant(new.SPECS["resnet18"], new="y")
    assert (spec.option("new"), spec.to_json()["new"]) == ("y", "y")
    assert new.Spec.from_json(spec.to_json()) == spec


def test_effective_gives_options_without_effect_their_defaults():
    spec = variant(SPECS["resnet18"], stride_in="3x3", first_shortcut="raw", zero_padding_position="both")
    assert effective(spec) == variant(SPECS["resnet18"], first_shortcut="raw")
    spec = variant(SPECS["resnet50"], stride_in="3x3", first_shortcut="raw", zero_padding_position="both", shortcut="A")
    assert effective(spec) == variant(spec, first_shortcut="activated")


@pytest.mark.parametrize("name", DESCRIPTIONS)
def test_description_of_0_2_without_groups_is_read(name):
    """The values that are still options are the same; those of a recipe, and of the Highway network, are left out."""
    values = DESCRIPTIONS[name]
    now = Description.from_json(values).to_json()
    former = {*TRAINING_ARGUMENTS, "transition", "last_width"}
    assert now["spec"] == {key: value for key, value in values["spec"].items() if key not in former}
    assert now | {"spec": None} == values | {"spec": None}
    assert Description.from_json(now).to_json() == now


def test_description_of_0_2_is_that_of_the_network():
    assert Description.from_json(DESCRIPTIONS["highway19"]).spec == SPECS["highway19"]
    changes = {"version": "1", "first_projection": "always", "activation": "sigmoid"}
    assert Description.from_json(DESCRIPTIONS["resnet50d"]).spec == variant(SPECS["resnet50d"], **changes)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("resnet50d", {"transition": "pool"}, "^transition must be 'stride' with block='bottleneck', got 'pool'$"),
        ("resnet50d", {"last_width": 7}, "^last_width must be None with block='bottleneck', got 7$"),
        ("highway19", {"last_width": 7}, "^last_width must be 100 with block='single', got 7$"),
        ("highway19", {"transition": "stride"}, "^transition must be 'pool' with block='single', got 'stride'$"),
        ("highway19", {"widht": 7}, "^unknown option 'widht'; did you mean"),
    ],
)
def test_description_of_another_network_is_refused(name, change, message):
    values = DESCRIPTIONS[name]
    with pytest.raises(ValueError, match=message):
        Description.from_json(values | {"spec": values["spec"] | change})


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("plain18", {"zero_init_last_gamma": True}, "needs a normalization right before an addition"),
        ("keras_resnet50v2", {"zero_init_last_gamma": True}, "needs a normalization right before an addition"),
        ("cifar_highway20", {"drop_path_rate": 0.1}, r"must be in \[0, 1\) and needs shortcuts, got 0.1"),
        ("resnet18", {"drop_path_rate": 1.0}, r"must be in \[0, 1\) and needs shortcuts, got 1.0"),
        ("resnet18", {"dropout": 1.0}, r"must be in \[0, 1\), got 1.0"),
    ],
)
def test_training_arguments_that_do_not_fit_are_refused(name, options, message):
    ((option, _),) = options.items()
    with pytest.raises(ValueError, match=f"^{name}: {option} {message}$"):
        check_training_arguments(SPECS[name], **options)


def test_configured_training_arguments():
    """null is the network's own value."""
    usual = {"drop_path_rate": 0.0, "zero_init_last_gamma": False}
    assert Model(name="cifar_resnet20").training_arguments == usual | {"dropout": 0.0}
    assert Model(name="highway19").training_arguments == usual | {"dropout": 0.2}
    assert Model(name="highway19", dropout=0.0).training_arguments == usual | {"dropout": 0.0}
    given = {"drop_path_rate": 0.1, "zero_init_last_gamma": True, "dropout": 0.3}
    assert Model(name="cifar_resnet20", **given).training_arguments == given
    with pytest.raises(ValueError, match=r"highway19: drop_path_rate must be in \[0, 1\) and needs shortcuts"):
        Model(name="highway19", drop_path_rate=0.1)
