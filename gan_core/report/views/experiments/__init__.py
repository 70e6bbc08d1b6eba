"""What the page of a group of experiments shows."""
