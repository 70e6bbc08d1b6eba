"""What makes a figure good or bad news: impostors found out, and the generator before its training."""
