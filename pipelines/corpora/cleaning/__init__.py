"""Cleaning: a document's text in, the cleaned text or the reason it is left out.

options   what a recipe says of it: the steps in their order, and what is held out
steps/    the catalogue: one file a step
step      what such a file declares
outcome   what a step answers
"""
