"""Reads, converts, downloads and writes weights. The package's own format is safetensors by layer name."""
