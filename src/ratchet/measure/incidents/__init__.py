"""Incidents: when production was out of bounds, which change led to it, and whether a person's act was at fault.

Invariant: everything is read off the ledger afresh for each snapshot; what people say stands beside what was
computed and never replaces it.
"""
