"""Runs artifacts in the process that verifies them; a module for each format, which imports nothing of this package."""
