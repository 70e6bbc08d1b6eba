"""Many runs at once: what Dagster has recorded of experiments, and following, stopping and launching them."""
