"""Near-duplicates among the images of a dataset: found by a perceptual hash, told, and left out of the shards
where that is asked for."""

from gan_core.data.duplicates.artefact import find_duplicates, kept_rows

__all__ = ["find_duplicates", "kept_rows"]
