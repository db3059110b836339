"""The schema of ``recipes/*.yaml`` and its reader; knows no Dagster and no torch."""
