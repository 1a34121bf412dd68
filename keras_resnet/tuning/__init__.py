"""Measures a run's learning rate and batch size before it starts, for the command `tune`.

| module | provides |
|---|---|
| `learning_rate.py` | the learning rate range test (Smith 2017) |
| `batch_size.py` | speed and memory of training steps by batch size, each in a process of its own |
| `plots.py` | the plots of both |
"""
