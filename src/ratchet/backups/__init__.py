"""Backups: one file with all of a workspace, taken while it runs, and a workspace made of such a file.

Invariant: a file that stands under its name is whole; a folder that stands under its name was restored as a whole.
"""
