"""Room 4: a trained model in use."""
