"""Provides the command line: the entry point in `entry`, and one module per command."""
