"""How models become bytes and back, one module a family of formats; ``ratchet.store.storers`` picks among them.

Invariant: a library of models is imported only where one of its models is stored or loaded.
"""
