"""The leaderboard, the plots and the HTML report."""
