"""Exports a trained run to artifacts that load without this package, and verifies that they agree with it."""
