"""The endpoint process: it answers predictions and goes on doing so while everything else is down.

Invariant: nothing in this package opens the database. What it needs comes from files of the serving folder and from
artifacts; what it learns goes to files of the serving folder.
"""
