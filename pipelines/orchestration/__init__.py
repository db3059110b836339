"""Dagster's door: declarations as assets, their checks, jobs, schedules and sensors."""
