"""Exports a trained network to artifacts that load without this package, and verifies that they agree with it.

| module | provides |
|---|---|
| `formats` | the table of formats, and the plan of an export |
| `export` | `export_model`: writes, verifies and publishes one version |
| `saved_model`, `litert`, `onnx` | the writers |
| `conversion`, `graph` | what writers share; the folded and the frozen network |
| `verify`, `loaders` | the comparison in a process without this package |
| `report` | tolerances, checksums and the report |
| `publishing` | versions that appear whole or not at all |
| `serving_kit`, `kit`, `memory` | files for TF Serving, and the memory that it takes |
"""
