"""Tell, when an order is placed, whether it will be sent back."""

import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OrdinalEncoder

import ratchet as rt

TEXTS = ["category", "channel"]
FEATURES = [*TEXTS, "price", "items", "discount", "earlier_orders", "delivery_days"]


@rt.step
def split(orders: pd.DataFrame, holdout_days: int = 30) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Keep the newest days apart: the gate measures on orders that no model has seen."""
    newest = orders["placed_at"] > orders["placed_at"].max() - pd.Timedelta(days=holdout_days)
    return orders[~newest], orders[newest]


@rt.step
def train(rows: pd.DataFrame, learning_rate: float = 0.1, max_iter: int = 60) -> Pipeline:
    """Train a small model: encoded texts and numbers into boosted trees."""
    encode = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    boost = HistGradientBoostingClassifier(
        learning_rate=learning_rate, max_iter=max_iter, max_leaf_nodes=8, early_stopping=False, random_state=0
    )
    model = make_pipeline(make_column_transformer((encode, TEXTS), remainder="passthrough"), boost)
    return model.fit(rows[FEATURES], rows["returned"])


@rt.pipeline(model="returns")
def returns(orders: rt.Dataset, learning_rate: float = 0.1, max_iter: int = 60) -> rt.Candidate:
    """Propose a new model; the fitness functions in ratchet.toml decide whether it may serve."""
    rows, holdout = split(orders.to_pandas())
    return rt.Candidate(train(rows, learning_rate, max_iter), holdout=holdout, label="returned")
