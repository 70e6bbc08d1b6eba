"""The processes and threads that a training runs in."""
