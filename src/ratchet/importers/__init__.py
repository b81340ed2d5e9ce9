"""Importers: what happened in other systems, written into the ledger in its own words and with its own grade."""
