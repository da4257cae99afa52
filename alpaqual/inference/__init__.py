"""Many requests to one model: ledger, budget, rate and retries around what `llm/` does once."""
