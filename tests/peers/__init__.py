"""Proofs against other people's software, each in an environment of its own; they are no part of the usual tests."""
