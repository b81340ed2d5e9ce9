"""What is kept: the ledger, the registry's tables, artifacts, and how values become bytes."""
