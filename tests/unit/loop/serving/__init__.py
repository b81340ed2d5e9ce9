"""Tests of the endpoint process, part by part."""
