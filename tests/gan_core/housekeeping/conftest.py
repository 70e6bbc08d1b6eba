"""A store on a local disk and in a bucket."""

import pytest

from gan_core.housekeeping import garbage
from gan_core.store import Store


@pytest.fixture(params=["local", "s3"])
def store(request, tmp_path) -> Store:
    if request.param == "local":
        return Store(tmp_path / "store")
    return request.getfixturevalue("s3_store")


@pytest.fixture
def settled(monkeypatch) -> None:
    """What became current in this moment counts as if that had been long ago."""
    monkeypatch.setattr(garbage, "SETTLED_SECONDS", -60.0)
