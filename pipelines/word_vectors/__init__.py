"""Room 6: word vectors of a corpus."""
