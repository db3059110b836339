"""Room 2: the examples of a task, which are pairs or labelled texts."""
