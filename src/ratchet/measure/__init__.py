"""What the ledger says about automation: transitions, who started them, levels, freshness.

Invariant: everything here is a function of events and of a moment; the measure reads the ledger and never the loop.
"""
