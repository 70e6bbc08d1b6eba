"""Sweeps: searches for the best values of a few keys, whose trials are experiments like any other.

Optuna chooses (grid, random, TPE) and prunes (successive halving); it is imported only where a sweep runs.
"""

# What a sweep makes of each training; what else there is to make is for those that turn out well.
MEASURED = ("samples", "evaluation")
