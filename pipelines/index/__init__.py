"""Room 4: an index of a corpus' text, which finds where a text stands verbatim."""
