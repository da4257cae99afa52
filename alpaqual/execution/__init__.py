"""Plan -> Run: the only package that spends time, money or disk space."""
