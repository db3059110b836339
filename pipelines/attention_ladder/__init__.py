"""Room 6: the same small network on each rung of attention."""
