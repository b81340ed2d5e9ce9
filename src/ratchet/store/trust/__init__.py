"""What model files of scikit-learn may hold, reviewed version by version: one table a version, beside this file."""
