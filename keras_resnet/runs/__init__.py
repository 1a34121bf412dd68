"""Provides the folder of a run.

| module | provides |
|---|---|
| `folder` | its paths, its saved configuration, and checks that it belongs to the same run |
| `checkpoints`, `saver` | the state of a run; atomic checkpoints; what is saved and restored |
| `logs` | log.txt, metrics.jsonl and dashboards |
| `report` | results.json, plots and model card |
| `kept_images` | images for exports without the data set |
| `lock` | one training process per folder |
"""
