"""The networks: tensors in, tensors out. No module here uses files, Dagster, MLflow or Arrow."""
