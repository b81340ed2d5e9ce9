"""What the processes that user code is forked from have loaded before the first fork."""

# The last two of the libraries are what scikit-learn and joblib load at the first fit, which each child would do again.
MODULES = (
    "numpy",
    "pandas",
    "sklearn.ensemble",
    "sklearn.pipeline",
    "sklearn.compose",
    "skops.io",
    "duckdb",
    "narwhals._pandas_like.namespace",
    "multiprocessing.dummy",
    "encodings.cp437",  # in which the names of a snapshot's files stand
    "ratchet.loop.pipelines",
    "ratchet.loop.fitness",
    "ratchet.loop.backtests",
    "ratchet.automation.custom",
    "ratchet.loop.warming",
)
