"""What a run leaves behind: rows of losses, curves for TensorBoard, samples over time, and its results."""
