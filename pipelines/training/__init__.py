"""Room 3: networks trained from scratch, and what every training shares."""
