"""What a recipe will take and reach, before it is run: ``dragon plan``.

rehearsal  makes the recipe's assets on a small scale in a temporary store, and measures
costs      from the measurements and earlier records: seconds, memory and disk of each asset
law        from two short trainings: the loss after a long one, with a band
proposal   the network and the steps that are best for a number of minutes
plan       the four together
"""
