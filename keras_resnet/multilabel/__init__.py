"""Provides multi-label classification: a score from 0 to 1 for each label, of which an image has any number.

| module | provides |
|---|---|
| `task` | `Multilabel`: data sets, loss and evaluation for `fit` |
| `metrics` | the table of metrics: mean average precision, F1; the choice of thresholds |
| `collector` | metrics and thresholds of a split's scores |
| `evaluation` | `keras-resnet evaluate` and the files of its `--report` |
| `signatures` | the functions of an exported model |
"""
