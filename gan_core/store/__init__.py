"""The artefact store: what is published, whole or not at all, and who is making it."""

from gan_core.store.manifest import FileEntry, Manifest, fingerprint
from gan_core.store.store import (
    CHECKPOINTS,
    MANIFEST,
    Build,
    Store,
    default_store,
    sha256_of,
)

__all__ = [
    "Build",
    "CHECKPOINTS",
    "FileEntry",
    "MANIFEST",
    "Manifest",
    "Store",
    "default_store",
    "fingerprint",
    "sha256_of",
]
