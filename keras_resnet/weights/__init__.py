"""Weights in files: this package's own format, safetensors by layer name."""

from keras_resnet.weights.native import load_weights, save_weights

__all__ = ["load_weights", "save_weights"]
