"""Room 6: sweeps, the same training with several values of its settings, at equal budgets.

A *choice* is one value for each setting that varies. A *point* is a choice with a seed.
"""
