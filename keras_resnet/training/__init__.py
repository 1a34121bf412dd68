"""The training loop, `fit(task, strategy, folder)`, and its parts."""
