"""Tests of the importers; a package, so that its file names may occur elsewhere too."""
