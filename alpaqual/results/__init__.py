"""What a run found: the types of `results.json`. Execution builds them, reports read them."""
