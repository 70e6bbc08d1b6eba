"""The artefacts that a leaderboard is made of are those that a report is made of."""

from tests.gan_core.report.conftest import workshop

__all__ = ["workshop"]
