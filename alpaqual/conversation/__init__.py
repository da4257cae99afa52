"""Conversations in one normal form: turns with roles, contents, tool calls and their results. Standard library only."""
