"""Room 7: what people look at."""
