"""Cleaning: it takes the text of a document, and gives the cleaned text or a reason to drop it.

options   the section of a recipe: the steps in their order, and the held-out shares
steps/    the catalogue: one file for each step
step      the declaration that such a file holds
outcome   the results of a step
"""
