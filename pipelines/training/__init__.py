"""Room 3: pretraining, and the code that all kinds of training share."""
