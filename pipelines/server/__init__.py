"""The pages of ``dragon ui``: one front before Dagster, with a home, reports, assets and traces."""
