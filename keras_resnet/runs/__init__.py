"""What a run keeps: its folder, checkpoints, figures and pictures."""
