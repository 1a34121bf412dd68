"""How a task is learnt: `fit(task, strategy, folder)` and what it stands on."""
