"""The command lines: `main(flags -> exit code)` that reads flags, and one file per command."""
