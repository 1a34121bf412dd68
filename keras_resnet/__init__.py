"""Provides the residual networks of "Deep Residual Learning for Image Recognition" (He et al. 2015) for Keras.

    import keras_resnet

    model = keras_resnet.ResNet50()

Names are imported on first use, so that `import keras_resnet` is fast.
"""

import importlib
import sys

import wrapt

from keras_resnet.renamed import FUNCTIONS, SINCE

__version__ = "0.2.0"

_HOMES = {
    "specs": ["SPECS", "Spec", "variant"],
    "options": ["Implementation", "LayerOptions"],
    "builder": ["build"],
    "model": ["ResNetModel"],
    "catalog": ["list_models", "list_weights"],
    "features": ["FeatureInfo", "feature_info"],
    "applications": [
        "create_model",
        "ResNet18",
        "ResNet34",
        "ResNet50",
        "ResNet101",
        "ResNet152",
        "PlainNet18",
        "PlainNet34",
        "CIFARResNet",
        "CIFARPlainNet",
        "CIFARPreResNet",
        "CIFARHighwayNet",
        "HighwayNet19",
        "from_weights",
        "preprocess_input",
        "decode_predictions",
    ],
    "layers": ["BatchNormalization", "HighwayGate", "Pad"],
    "sgd": ["SGD"],
    "weights.native": ["load_weights", "save_weights"],
    "analysis.complexity": ["complexity"],
    "analysis.layer_responses": ["layer_responses"],
    "analysis.norms": ["activation_norms", "gradient_norms"],
    "analysis.batch_norm_statistics": ["batch_norm_statistics", "preactivation_percentiles"],
    "analysis.highway_gates": ["highway_gates"],
    "analysis.grad_cam": ["grad_cam"],
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}


@wrapt.when_imported("keras")
def _register_classes(keras):
    """Registers the model class, layers and optimizer, which Keras needs to load this package's `.keras` files."""
    importlib.import_module(f"{__name__}.model")
    if keras.backend.backend() == "tensorflow":
        importlib.import_module(f"{__name__}.sgd")


__all__ = list(_HOME)


def __getattr__(name):
    if name in FUNCTIONS:
        raise AttributeError(f"{__name__}.{name} was renamed in version {SINCE}: use {__name__}.{FUNCTIONS[name]}")
    if name not in _HOME:
        # With `name` and `obj`, Python's traceback suggests a similar name, such as ResNet50 for Resnet50.
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message, name=name, obj=sys.modules[__name__])
    value = getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__():
    """Returns the public names, without this module's imports, for completion."""
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})
