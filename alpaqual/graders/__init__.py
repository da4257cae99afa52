"""Kinds of graders: the request about a row, and the score that the reply gives."""
