"""Above the rooms: which data made these weights, read from manifests and records alone."""
