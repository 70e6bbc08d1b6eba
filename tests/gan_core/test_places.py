"""Where things are by default: one answer for the command line, the library and Dagster."""

from pathlib import Path

from gan_core.places import checkout
from gan_core.store import default_store

REPOSITORY = Path(__file__).parents[2]


def test_the_default_store_is_one_for_everyone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GAN_STORE", raising=False)
    assert checkout() == REPOSITORY
    assert default_store().url == str(REPOSITORY / "store")
    monkeypatch.setattr("gan_core.places.checkout", lambda: None)  # as where the package is installed
    assert default_store().url == str(tmp_path / "store")
    monkeypatch.setenv("GAN_STORE", "/elsewhere")
    assert default_store().url == "/elsewhere"
