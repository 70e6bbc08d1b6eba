"""Some of many, evenly spaced. Imports no torch."""


def evenly_chosen(count: int, most: int) -> list[int]:
    """At most `most` of the numbers 0 to count - 1, evenly, the first and the last among them."""
    if count <= most:
        return list(range(count))
    return [round(index * (count - 1) / (most - 1)) for index in range(most)]
