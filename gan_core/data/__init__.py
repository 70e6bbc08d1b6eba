"""From image bytes to WebDataset shards, and back to tensors.

`raw` takes the inventory of a dataset's images, `shards` packs them, `loading` reads them for training.
"""
