"""The leaderboard, the plots and the HTML report."""

from gan_core.evaluation.figures import FIGURES
from gan_core.report.training_figures import TRAINING_FIGURES

FIGURES.update(TRAINING_FIGURES)
