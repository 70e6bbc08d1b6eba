"""Train and measure GANs from WebDataset shards. Runs without Dagster."""
