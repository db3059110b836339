"""Exports of models from the store to formats of other libraries."""
