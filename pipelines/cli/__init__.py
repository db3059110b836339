"""The command line: one file for each verb, and files that verbs share, named after their content.

The top of a file imports only modules that load quickly, so that ``dragon VERB --help`` is quick.
Recipes (pydantic), Arrow, Dagster and torch are loaded when a verb begins to work.
"""
