"""Provides `ResNetModel`, the functional Keras model with a description that `build` and the constructors return."""

import json
import os

import keras

from keras_resnet.description import DESCRIPTION_FILE, Description
from keras_resnet.preprocessing import PreprocessingLayer


@keras.saving.register_keras_serializable("keras_resnet")
class ResNetModel(keras.Model):
    """A functional `keras.Model` with a description of its network, preprocessing and classes.

    Attributes:
        description: the `Description`. The first layer stores it, so that `.keras` files, clones and pickles keep it.
    """

    @property
    def description(self) -> Description:
        """Returns the model's description."""
        return self._carrier.description

    @description.setter
    def description(self, description):
        self._carrier.description = description

    @property
    def _carrier(self):
        for layer in self.layers:
            if isinstance(layer, PreprocessingLayer):
                return layer
        raise AttributeError(f"{self.name} has no layer that carries a description")

    def export(self, filepath, format="tf_saved_model", verbose=None, input_signature=None, **kwargs):
        """Exports the model as `keras.Model.export` does.

        A SavedModel also contains the description, in assets.extra/description.json.
        """
        super().export(filepath, format=format, verbose=verbose, input_signature=input_signature, **kwargs)
        if format == "tf_saved_model":
            write_description(os.fspath(filepath), self.description)

    def make_train_function(self, force=False):
        """Creates Keras's training function, or one with a faster start for very deep networks on one device."""
        if keras.backend.backend() == "tensorflow" and (force or getattr(self, "train_function", None) is None):
            from keras_resnet import very_deep

            plain = not (self.run_eagerly or self.jit_compile) and self.steps_per_execution == 1
            if plain and very_deep.is_very_deep(self) and self.distribute_strategy.num_replicas_in_sync == 1:
                self.train_function = very_deep.train_function(self)
                return self.train_function
        return super().make_train_function(force=force)

    def get_build_config(self):
        """Adds a hint. Keras prints this configuration when a process without this package loads the model."""
        return (super().get_build_config() or {}) | {"hint": "to load this model: import keras_resnet"}


def write_description(saved_model: str, description: Description) -> None:
    """Writes a description into a SavedModel's folder, from which `read_description` reads it."""
    path = os.path.join(saved_model, DESCRIPTION_FILE)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        json.dump(description.to_json(), file, indent=1)
