"""Command line: one module per command, no logic."""
