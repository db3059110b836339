"""Room 2: what a task learns from, pairs and labelled texts."""
