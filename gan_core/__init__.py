"""Train and measure GANs from WebDataset shards. Runs without Dagster."""

import os

# OpenMP reads this when torch is loaded. Its threads wait for each other by turning on the spot, which takes
# the core from the very thread that they wait for where there is other work (benchmarks/threads.py).
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
