"""Room 5: what a model is worth on held-out text, beside its baselines."""
