"""Room 1: from a source to clean documents, split, and what they share with others."""
