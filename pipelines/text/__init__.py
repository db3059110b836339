"""Text and Arrow in, Arrow out: the floor that knows no Dagster, no MLflow and no torch.

The way of the data, one module a step:

    packages, generators -> sources -> tables (raw text)
    cleaning, deduplication, splitting -> documents (three tables and a ledger)
    tokenizers -> shards (token streams)          examples (what a task learns from)
    baselines (what a model must beat on the same split)

Importing any of them loads only the standard library; the heavy ones load where they work.
"""
