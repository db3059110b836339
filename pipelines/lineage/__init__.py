"""Lineage: the data behind each version, read from manifests and records alone."""
