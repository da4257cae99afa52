"""One request to one model."""
