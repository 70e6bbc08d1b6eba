"""The leaderboard: experiments as rows, seeds folded and ranked; tables for pages, terminals and the UI."""

from gan_core.evaluation.figures import FIGURES
from gan_core.leaderboard.training_figures import TRAINING_FIGURES

FIGURES.update(TRAINING_FIGURES)
