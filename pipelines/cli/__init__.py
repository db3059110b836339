"""The command line: a file a verb, and files that verbs share, named for what is in them.

The head of a file imports what loads quickly, so that ``dragon VERB --help`` is quick; recipes
(pydantic), Arrow, Dagster and torch are loaded where a verb begins to work.
"""
