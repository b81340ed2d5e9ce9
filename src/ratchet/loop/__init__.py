"""The closed loop: from data to model to traffic to outcome, and to data again."""
