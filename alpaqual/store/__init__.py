"""Results of stages by fingerprint, and the ledger of replies."""
