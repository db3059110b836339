"""Room 6: a vector for every word of a corpus."""
