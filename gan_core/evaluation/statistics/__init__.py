"""The arithmetic behind the metrics: what is gathered of images, distances of sets, intervals and tests."""
