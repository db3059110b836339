"""What every room needs to handle text: Arrow files and tables, n-grams, addresses, places, errors.

Nothing here knows a corpus, a tokenizer or an asset.
"""
