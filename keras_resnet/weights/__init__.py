"""Weights in files: this package's own format, safetensors by layer name."""
