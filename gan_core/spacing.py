"""Some of many, evenly spaced. Imports no torch."""

import math

# A run is evaluated so often, or more often: after so many images at most.
EVALUATION_TIMES = 8
MOST_IMAGES_BETWEEN = 50_000


def evenly_chosen(count: int, most: int) -> list[int]:
    """At most `most` of the numbers 0 to count - 1, evenly, the first and the last among them."""
    if count <= most:
        return list(range(count))
    return [round(index * (count - 1) / (most - 1)) for index in range(most)]


def evaluation_interval(total_images: int) -> int:
    """Images seen from one in-training evaluation to the next where the configuration does not say: the last
    of them comes at the end of the run."""
    return min(MOST_IMAGES_BETWEEN, max(1, math.ceil(total_images / EVALUATION_TIMES)))
