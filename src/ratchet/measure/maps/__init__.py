"""Process maps: what is done between an idea and a model that serves, by whom, and to which degree by itself.

Invariant: what people declare and what the ledger shows stand side by side; neither replaces the other.
"""
