"""Tests of incidents and of what they are attributed to."""
