"""How good a set of images is: feature extractors, statistics, metrics, and the protocols that make numbers
comparable. A metric is three steps: images -> features (the only costly one) -> statistics -> number."""
