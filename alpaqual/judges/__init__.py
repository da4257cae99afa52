"""Kinds of judges, one file each: the prompt that compares answers, and how its reply is read."""
