"""Tell, at the hour before its departure, whether a flight from New York will arrive more than 15 minutes late."""

import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OrdinalEncoder

import ratchet as rt

TEXTS = ["carrier", "origin", "dest"]
WEATHER = ["temp", "dewp", "humid", "wind_dir", "wind_speed", "wind_gust", "precip", "pressure", "visib"]
FEATURES = [*TEXTS, "departure_hour", "weekday", "distance", *WEATHER, "origin_delay_minutes_2h"]
HOLDOUT = pd.Timedelta(days=14)


@rt.step
def newest(flights: rt.Dataset) -> pd.DataFrame:
    """Keep the newest days apart: no model has seen them, neither this one nor last week's, so the gate is fair."""
    return flights.to_pandas(since=flights.latest() - HOLDOUT)


@rt.step
def train(flights: rt.Dataset, learning_rate: float, seed: int, max_rows: int = 25_000) -> Pipeline:
    """Train on a sample of all that came before: as good as all of it, and still quick in December."""
    before = flights.latest() - HOLDOUT
    rows = flights.to_pandas(before=before, columns=[*FEATURES, "late"], sample=max_rows, seed=seed)
    encode = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    # Small trees over coarse bins: on later months as good as twice the size, at half the time.
    boost = HistGradientBoostingClassifier(
        learning_rate=learning_rate,
        max_iter=30,
        max_leaf_nodes=15,
        max_bins=63,
        early_stopping=False,
        random_state=seed,
    )
    model = make_pipeline(make_column_transformer((encode, TEXTS), remainder="passthrough"), boost)
    return model.fit(rows[FEATURES], rows["late"])


@rt.pipeline(model="flight-delay", owner="operations")
def flight_delay(flights: rt.Dataset, learning_rate: float = 0.1, seed: int = 0) -> rt.Candidate:
    """Propose a new model; the fitness functions in ratchet.toml decide whether it may serve."""
    return rt.Candidate(train(flights, learning_rate, seed), holdout=newest(flights), label="late")
