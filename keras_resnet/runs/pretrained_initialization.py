"""What the weights that a run starts from say of its network, written into the run's configuration."""

from keras_resnet.config import Config
from keras_resnet.config.model import FILLED_IN
from keras_resnet.errors import ConfigError
from keras_resnet.runs.folder import RunFolder
from keras_resnet.specs import SPECS
from keras_resnet.weights.loading import load_pretrained


def with_weights_filled_in(config: Config, folder: RunFolder) -> Config:
    """The configuration with what `model.weights` says where it says nothing itself: version, mean, deviation.

    A run that was begun knows it from then on: its weights may be gone.

    Raises:
        ConfigError: the weights cannot be had.
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
