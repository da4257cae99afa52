"""Many requests to one model: ledger, budget, rate limits and retries around a provider's plug-in of `llm/`."""
