"""What decides a run, typed: YAML, `extends`, `--set group.key=value`, and errors of one line.

Knows nothing of TensorFlow, so that a mistake shows at once.
"""

from keras_resnet.config.groups import Config, Data, Eval, Export, Model, Train
from keras_resnet.config.loading import changed, config_json_schema, load_config, validate
from keras_resnet.config.resolving import check_strategy, resolve

__all__ = [
    "Config",
    "Data",
    "Eval",
    "Export",
    "Model",
    "Train",
    "changed",
    "check_strategy",
    "config_json_schema",
    "load_config",
    "resolve",
    "validate",
]
