"""The schema of ``recipes/*.yaml`` and its reader; they import neither Dagster nor torch."""
