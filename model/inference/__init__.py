"""Text out of a network: sampling, search, and smaller numbers."""
