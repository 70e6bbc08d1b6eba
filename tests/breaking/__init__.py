"""Scripts that break the product on purpose, more often and longer than tests can.

Each runs by one command, `python -m tests.breaking.<script>`, prints a line per trial and ends with status 1
if one did not hold. Their table is in `docs/operation.md`.
"""
