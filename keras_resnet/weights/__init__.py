"""Reads, converts, downloads and writes weights. The package's own format is safetensors by layer name.

| module | provides |
|---|---|
| `loading` | weights by name or file into a network |
| `formats` | the table of weight formats; `torch_names` and the other `*_names` rename tensors |
| `reading`, `tensors`, `torch_files`, `tf_checkpoint` | tensors of a file, safely |
| `conversion`, `architecture_inference`, `state_dict` | a network and its description from tensors |
| `model_config` | preprocessing and classes from the JSON files beside weights |
| `native` | this package's own files |
| `published`, `hub` | published weights and their download; the Hugging Face Hub |
"""
