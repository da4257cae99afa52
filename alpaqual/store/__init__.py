"""The only room with DuckDB: stage results by fingerprint, and the ledger of replies."""
