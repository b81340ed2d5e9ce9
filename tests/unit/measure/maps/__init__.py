"""Tests of process maps; a package, so that its file names may occur elsewhere too."""
