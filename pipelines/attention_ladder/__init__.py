"""Room 6: the attention ladder, the same small network with each kind of attention."""
