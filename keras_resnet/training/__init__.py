"""Provides the training loop for every task and strategy.

| module | provides |
|---|---|
| `start` | `train_run`: starts or resumes the run of a configuration |
| `fit` | the loop |
| `steps`, `averages` | training and evaluation steps; averaged weights and moving statistics |
| `optimizer` | model and optimizer on their devices, frozen layers, learning rates by layer |
| `metrics`, `divergence` | metrics between log lines and of whole splits; losses that explode |
| `progress`, `signals` | what a run prints; SIGTERM and SIGINT |
| `strategy`, `cluster` | tf.distribute strategies and their workers; checks of the cluster without TensorFlow |
"""
