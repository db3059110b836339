"""Room 5: measures models on held-out text and compares them with baselines."""
