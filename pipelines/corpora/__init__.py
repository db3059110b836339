"""Room 1: from a source to clean documents in splits, and the text they share with other sets."""
