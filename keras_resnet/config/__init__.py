"""The typed configuration of a run: YAML, `extends`, `--set group.key=value`, and one-line errors.

It does not import TensorFlow, so mistakes are reported at once.
"""

from keras_resnet.config.data import BOX_SETS, Data
from keras_resnet.config.groups import Config, Eval, Export, check_strategy, first_difference, resolve
from keras_resnet.config.json_schema import config_json_schema
from keras_resnet.config.loading import changed, load_config, load_saved_config, validate, validate_saved
from keras_resnet.config.model import Model
from keras_resnet.config.train import Recovery, Train

__all__ = [
    "BOX_SETS",
    "Config",
    "Data",
    "Eval",
    "Export",
    "Model",
    "Recovery",
    "Train",
    "changed",
    "check_strategy",
    "config_json_schema",
    "first_difference",
    "load_config",
    "load_saved_config",
    "resolve",
    "validate",
    "validate_saved",
]
