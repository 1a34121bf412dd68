"""Provides the command line: the table of commands in `entry`, and one module per command.

`models` opens what a user names (run, weights, export, network), `runs` loads a run, and `weights_flags` has the flags
of commands that load weights.
"""
