"""Tests of the measure; a package, so that its file names may occur elsewhere too."""
