"""Whether a dataset's source has changed, without reading an image: sizes, times and ETags."""

import hashlib
import json
import os
from typing import Any

from gan_core.config import Dataset
from gan_core.data.download import web_version
from gan_core.data.sources.file_collections import file_system, is_local
from gan_core.data.sources.files import file_signature
from gan_core.data.sources.folders import LocalFolder, RemoteFolder, version_of
from gan_core.errors import SourceError
from gan_core.secrets import masked

PATIENCE = 10.0  # seconds: who looks again soon need not wait long


def source_state(dataset: Dataset) -> str | None:
    """64 hex digits that change, in all likelihood, when the images change; None of a dataset that is
    downloaded from where it was published, as that does not change.

    It looks where the dataset's file or the environment says that the images are. Raises `SourceError` for a
    source that is gone or out of reach.
    """
    places = {split: place for split, place in dataset.locations().items() if place is not None}
    if not places:
        return None
    found = [[split, masked(place), _state(place)] for split, place in sorted(places.items())]
    return hashlib.sha256(json.dumps(found).encode()).hexdigest()


def _state(location: str) -> Any:
    if location.startswith(("http://", "https://")):
        version = web_version(location)
        if not any(version):
            raise SourceError(f"{masked(location)}: the server does not say which version of the file it has")
        return version
    try:
        files, path = file_system(location)
        if is_local(files):
            folder = os.path.isdir(path)
            return LocalFolder(location, path).signature() if folder else file_signature(path)
        files.patience = PATIENCE
        if files.isdir(path):
            return RemoteFolder(masked(location), files, path).signature()
        return version_of(files.info(path))
    except (OSError, ValueError, ImportError) as error:
        raise SourceError(f"{masked(location)} cannot be reached: {error}") from error
