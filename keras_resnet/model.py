"""Provides the first layer of every model, which normalizes images to zero mean and unit standard deviation."""

import json
import os

import keras
import numpy as np
from keras import layers, ops

from keras_resnet.blocks import channel_axis
from keras_resnet.description import DESCRIPTION_FILE, Description


@keras.saving.register_keras_serializable("keras_resnet", name="Preprocessing")  # as in files of version 0.1
class PreprocessingLayer(layers.Normalization):
    """images (N, H, W, C) -> (images - mean) / sqrt(variance) per channel, (N, H, W, C).

    The layer stores the model's `Description`, because Keras copies the layers when it saves, clones or pickles a
    model.

    Args:
        axis, mean, variance: as for `keras.layers.Normalization`.
        description: a `Description`, or the values of its `to_json`.
        **kwargs: as for `keras.layers.Normalization`.
    """

    def __init__(self, axis=-1, mean=None, variance=None, description=None, **kwargs):
        super().__init__(axis=axis, mean=mean, variance=variance, **kwargs)
        self.description = Description.from_json(description) if isinstance(description, dict) else description

    def call(self, inputs):
        """images (N, H, W, C) -> normalized images (N, H, W, C).

        Mean and variance are constants of the graph that calls the layer. Keras's layer stores them as tensors, which
        every traced function captures, and `model.export(format="onnx")` treats captured tensors as inputs.
        """
        if self.input_mean is None or self.invert:
            return super().call(inputs)
        shape = [inputs.shape[axis] for axis in self._keep_axis]
        dtype = np.float64 if self.compute_dtype == "float64" else np.float32
        mean, variance = (
            np.broadcast_to(np.asarray(values, np.float32), shape).reshape(self._broadcast_shape).astype(dtype)
            for values in (self.input_mean, self.input_variance)
        )
        deviation = np.maximum(np.sqrt(variance), dtype(keras.config.epsilon()))
        inputs = ops.convert_to_tensor(inputs, self.compute_dtype)
        mean, deviation = (ops.convert_to_tensor(each, self.compute_dtype) for each in (mean, deviation))
        return ops.divide(ops.subtract(inputs, mean), deviation)

    def get_config(self):
        """Adds the description to the layer's arguments."""
        return super().get_config() | {"description": self.description.to_json() if self.description else None}


def preprocess(images, description: Description):
    """images (N, H, W, C) -> images (N, H, W, C), normalized by the description's mean and standard deviation.

    The layer runs in the variables' dtype, because bfloat16 has too few digits for pixels that are not whole numbers.
    If `include_preprocessing` is False in the description's arguments, the layer does not change the images.
    """
    channels, preprocessing = images.shape[channel_axis()], description.preprocessing
    if description.arguments.get("include_preprocessing", True):
        mean, std = (per_channel(values, channels) for values in (preprocessing.mean, preprocessing.std))
        name = "preprocessing"
    else:
        mean, std, name = [0.0] * channels, [1.0] * channels, "no_preprocessing"
    return PreprocessingLayer(
        axis=channel_axis(),
        mean=mean,
        variance=[value**2 for value in std],
        description=description,
        dtype=keras.config.dtype_policy().variable_dtype,
        name=name,
    )(images)


def per_channel(values, channels: int) -> list[float]:
    """Returns a mean or standard deviation for a number of channels: RGB's three values, or their average."""
    if channels == len(values):
        return list(values)
    if len(values) != 3:
        raise ValueError(f"mean and std must be 3 values or one per channel ({channels}), got {values}")
    average = sum(values) / len(values)
    kept = list(values) if channels > len(values) else []
    return kept + [average] * (channels - len(kept))


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


# Keras's HDF5 files name a model's class without the package, unlike .keras files.
keras.saving.get_custom_objects()["ResNetModel"] = ResNetModel


def write_description(saved_model: str, description: Description) -> None:
    """Writes a description into a SavedModel's folder, from which `read_description` reads it."""
    path = os.path.join(saved_model, DESCRIPTION_FILE)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        json.dump(description.to_json(), file, indent=1)
