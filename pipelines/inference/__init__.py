"""Room 4: inference with a trained model."""
