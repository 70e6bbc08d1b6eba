"""What is measured, each by `python -m benchmarks.NAME`."""

import gan_core  # noqa: F401  before torch: how its threads wait (docs/machines.md)
