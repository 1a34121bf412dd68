"""How a task is learned: `fit(task, strategy, folder)` and what it stands on."""
