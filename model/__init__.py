"""F0: tensors in, tensors out. Nothing here knows files, Dagster, MLflow or Arrow."""
