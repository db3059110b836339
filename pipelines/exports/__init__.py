"""Above the rooms: what leaves the store for others to use."""
