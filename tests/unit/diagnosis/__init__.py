"""Tests of the doctor's checks; a package, so that its file names may occur elsewhere too."""
