"""Asking networks what is in images, whatever they are kept as: live, SavedModel, LiteRT or ONNX."""
