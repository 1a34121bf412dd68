"""Runs Keras's tests of keras.applications, which ship in its wheel, on the constructors of this package.

The tests of other families and `test_application_base`, which downloads weights, are omitted.
"""

import functools

import pytest
from keras.src.applications import resnet, resnet_v2

import keras_resnet


def _v2(constructor, name):
    v2 = functools.partial(constructor, version="2")
    v2.__name__ = name
    return v2


OURS = {
    (resnet, "ResNet50"): keras_resnet.ResNet50,
    (resnet, "ResNet101"): keras_resnet.ResNet101,
    (resnet, "ResNet152"): keras_resnet.ResNet152,
    (resnet_v2, "ResNet50V2"): _v2(keras_resnet.ResNet50, "ResNet50V2"),
    (resnet_v2, "ResNet101V2"): _v2(keras_resnet.ResNet101, "ResNet101V2"),
    (resnet_v2, "ResNet152V2"): _v2(keras_resnet.ResNet152, "ResNet152V2"),
}
SLOW = (
    "101",
    "152",
    "V2",
    "channels_first",
    "variable_input",
    "custom_input",
    "classifier_activation",
    "pooling",
)  # `make test` runs the cases of ResNet50, channels last


def _their_tests():
    """Returns Keras's test class, built while this package's constructors replace Keras's."""
    theirs = {key: getattr(*key) for key in OURS}
    try:
        for (module, name), constructor in OURS.items():
            setattr(module, name, constructor)
        from keras.src.applications import applications_test
    finally:
        for (module, name), constructor in theirs.items():
            setattr(module, name, constructor)
    return applications_test


class TestWithOurConstructors(_their_tests().ApplicationsTest):
    pass


for _name in dir(TestWithOurConstructors):
    if _name.startswith("test_"):
        _ours = any(f"_{name}_channels" in _name for _, name in OURS)
        if not _ours or "application_base" in _name:
            setattr(TestWithOurConstructors, _name, None)
        elif any(depth in _name for depth in SLOW):
            setattr(TestWithOurConstructors, _name, pytest.mark.slow(getattr(TestWithOurConstructors, _name)))


def test_keras_test_class_has_all_test_cases():
    """Five tests, six constructors, two data formats."""
    names = [name for name in dir(TestWithOurConstructors) if name.startswith("test_")]
    assert len([name for name in names if getattr(TestWithOurConstructors, name)]) == 5 * 6 * 2
