"""Predicts the classes of images with a Keras model, a SavedModel, a LiteRT file or an ONNX file.

| module | provides |
|---|---|
| `answers` | the `Predictor` protocol and its answers |
| `postprocessing` | logits and detections to answers |
| `writers` | answers as a table, CSV or JSON |
| `keras_model`, `saved_model`, `litert`, `onnx` | a predictor for each kind of model |
| `artifacts` | labels and preprocessing of an exported artifact |
| `images` | files and patterns to pixels, without TensorFlow where possible |
| `plot`, `benchmark` | a picture of predictions; latency, throughput and parity |
"""
