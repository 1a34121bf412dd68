"""Provides image classification, the task of sections 4.1 and 4.2 of He et al. 2015.

| module | provides |
|---|---|
| `task` | `Classification`: model, data sets, loss and evaluation for `fit` |
| `class_weights` | factors of classes on the training loss |
| `metrics` | the table of metrics, confidence intervals, metrics per class |
| `protocols` | single-crop, 10-crop and multi-scale testing |
| `report` | the files of `evaluate --report` |
| `signatures` | the functions of an exported classifier, and the images that artifacts are compared on |
"""
