"""Fills in a run's configuration with the options of the pretrained weights that it starts from."""

from keras_resnet.config import Config
from keras_resnet.config.model import FILLED_IN
from keras_resnet.errors import ConfigError
from keras_resnet.runs.folder import RunFolder
from keras_resnet.specs import SPECS
from keras_resnet.weights.loading import load_pretrained


def with_weights_filled_in(config: Config, folder: RunFolder) -> Config:
    """Returns the configuration with null options, such as version, mean and std, filled in from `model.weights`.

    An existing run has these options in its saved configuration, because the weights file may no longer exist.

    Raises:
        ConfigError: the weights cannot be loaded.
    """
    model = config.model
    if not model.weights:
        return config
    if folder.is_run():
        there = folder.read_config().model
        kept = {name: getattr(there, name) for name in FILLED_IN if getattr(model, name) is None}
        return config.model_copy(update={"model": model.model_copy(update=kept)})
    try:
        pretrained = load_pretrained(model.weights, SPECS[model.name])
    except (ValueError, OSError) as error:
        raise ConfigError(f"model.weights: {error}") from None
    filled_in = model.filled_in(pretrained.spec, pretrained.description.preprocessing)
    return config.model_copy(update={"model": filled_in})
