"""What a bundle is: a list that is whole, and files inside it."""

import json

import pytest

from gan_core.bundles.contents import LIST, Bundle, BundleList, is_bundle
from gan_core.errors import DamagedError, StoreError
from gan_core.store.manifest import SEAL, sha256_of_json
from tests.gan_core.bundles.small_bundle import flip, listed


def rewritten(folder, **changes) -> None:
    """The list with other values, sealed as if it had been made so."""
    content = {**listed(folder), **changes}
    content.pop(SEAL)
    (folder / LIST).write_text(json.dumps({**content, SEAL: sha256_of_json(content)}))


def test_a_bundle_is_a_folder_with_a_list(exported, tmp_path):
    assert is_bundle(exported) and not is_bundle(tmp_path)
    with pytest.raises(StoreError, match=r"is no bundle: it has no bundle.json.*gan_core export"):
        Bundle.open(tmp_path)
    bundle = Bundle.open(exported)
    assert bundle.listed == BundleList.from_json(bundle.listed.to_json())
    assert bundle.damages(print) == {} and bundle.unlisted() == []
    assert bundle.dataset().licence == "CC BY 4.0"


@pytest.mark.parametrize("position", [0, 0.3, 0.6, 0.999])
def test_a_list_with_a_changed_bit_is_refused(bundle, position):
    flip(bundle / LIST, position)
    with pytest.raises(DamagedError, match="bundle.json is damaged or was edited"):
        Bundle.open(bundle)


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "store/../../secret", "a//b", "a\\..\\b"])
def test_a_list_that_names_a_file_outside_is_refused(bundle, name):
    rewritten(bundle, files={name: {"size": 1, "sha256": "0" * 64}})
    with pytest.raises(DamagedError, match="not a path inside"):
        Bundle.open(bundle)
    artefact = {"partition": "..", "fingerprint": "0" * 64, "version": "0"}
    rewritten(bundle, files={}, artefacts={"trained_gan": artefact})
    with pytest.raises(DamagedError, match="not a path inside"):
        Bundle.open(bundle)


def test_a_list_of_a_later_version_is_refused(bundle):
    rewritten(bundle, format=99)
    with pytest.raises(DamagedError, match="format is 99"):
        Bundle.open(bundle)


def test_a_changed_bit_a_missing_byte_and_a_missing_file_are_told_of_each_file(bundle):
    for name in listed(bundle)["files"]:
        path = bundle / name
        content = path.read_bytes()
        flip(path)
        assert Bundle.open(bundle).damages(print) == {name: "has changed (another sha256)"}
        path.write_bytes(content[:-1])
        told = Bundle.open(bundle).damages(print)
        assert told == {name: f"has {len(content) - 1:,} bytes, not {len(content):,}"}
        path.unlink()
        assert Bundle.open(bundle).damages(print) == {name: "is missing"}
        path.write_bytes(content)
    assert Bundle.open(bundle).damages(print) == {}


def test_a_link_is_no_file_of_a_bundle(bundle, tmp_path):
    """Neither to the right bytes elsewhere, nor by a folder."""
    away = tmp_path / "away"
    (bundle / "README.md").rename(away)
    (bundle / "README.md").symlink_to(away)
    told = Bundle.open(bundle).damages(print)
    assert told == {"README.md": "is no plain file of the bundle (a link or a folder)"}
    (bundle / "README.md").unlink()
    away.rename(bundle / "README.md")
    (bundle / "configs").rename(tmp_path / "configs")
    (bundle / "configs").symlink_to(tmp_path / "configs")
    opened = Bundle.open(bundle)
    assert set(opened.damages(print)) == {name for name in listed(bundle)["files"] if "configs/" in name}
    with pytest.raises(StoreError, match="no plain file"):
        opened.dataset()


def test_other_files_are_named(bundle):
    (bundle / "notes.txt").write_text("mine")
    (bundle / "link").symlink_to("/etc/passwd")
    assert Bundle.open(bundle).unlisted() == ["link", "notes.txt"]
