"""Predicts the classes of images with a Keras model, a SavedModel, a LiteRT file or an ONNX file."""
