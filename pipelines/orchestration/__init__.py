"""The Dagster side: declarations as assets, their checks, jobs, schedules and sensors."""
