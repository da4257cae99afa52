"""SQL engines: each runs the statements of a plan over tables of files."""
