"""Verifying bundles that are right, and bundles that are broken in every way."""

import dataclasses
import errno
import os
import shutil

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from gan_core.bundles import verify as module
from gan_core.bundles.contents import LIST, Bundle
from gan_core.bundles.table import table_text
from gan_core.bundles.verify import verify_bundle
from gan_core.config import load_configs
from gan_core.data.raw import collect_raw_images
from gan_core.data.shards import write_image_shards
from gan_core.errors import EvaluationError, StoreError
from gan_core.evaluation.metrics import METRICS
from gan_core.store import Store
from gan_core.store.provenance import provenance
from tests.gan_core.bundles.small_bundle import (
    edit_manifest,
    flip,
    listed,
    manifest_path,
    sealed_again,
)
from tests.small_project import write_config

GENERATOR = "generator.safetensors"


def rows_of(result) -> dict:
    return {row.figure: row for row in result.rows}


def file_in(bundle, name):
    (path,) = bundle.rglob(name)
    return path


@pytest.fixture(scope="module")
def verified(exported):
    return verify_bundle(exported)


def test_a_bundle_agrees_figure_by_figure(verified, project):
    assert verified.agrees and verified.damages == {} and verified.notes == []
    recorded = project.evaluation.details["extractors"]["classifier"]
    empty = [name for name, value in recorded.items() if value is None]
    assert empty  # is no figure, and none that agrees
    figures = {name: recorded[name] for name in recorded if name not in ("protocol", "protocols", *empty)}
    assert {row.figure: row.recorded for row in verified.rows} == figures
    # The same machine, the same order of additions: the same bits.
    for row in verified.rows:
        expected = "as recorded" if row.figure.endswith("_floor") else "exact"
        assert (row.agreement, row.measured) == (expected, row.recorded)
    assert [check.what for check in verified.checks] == ["README.md", "generator.onnx", "samples"]
    assert verified.checks[2].found == "the same bytes, image by image"


def test_what_is_told_is_a_table_and_json(verified):
    text = table_text(verified)
    assert text.endswith(f"exact, {sum(row.figure.endswith('_floor') for row in verified.rows)} as recorded)")
    assert "all agree" in text and "NOT" not in text
    record = verified.record()
    assert record["agrees"] and len(record["figures"]) == len(verified.rows)
    assert len(record["list_sha256"]) == 64


def test_a_bundle_is_not_written_to(exported):
    before = {path: path.stat().st_mtime_ns for path in exported.rglob("*")}
    verify_bundle(exported)
    assert {path: path.stat().st_mtime_ns for path in exported.rglob("*")} == before


@pytest.fixture
def hasty(monkeypatch):
    """Without the figures, which other tests look at: what is wrong with the files is known before."""

    def nothing(self, *_):
        raise StoreError("not in this test")

    monkeypatch.setattr(module.Remeasuring, "draw", nothing)
    monkeypatch.setattr(module, "largest_difference", lambda *_: 0.0)


def test_one_changed_bit_in_any_file_does_not_verify(bundle, hasty):
    for name in [*listed(bundle)["files"], LIST]:
        content = (bundle / name).read_bytes()
        flip(bundle / name)
        result = verify_bundle(bundle)
        assert not result.agrees
        assert list(result.damages) == [name]
        assert name in table_text(result) and "DOES NOT AGREE" in table_text(result)
        (bundle / name).write_bytes(content)


def test_a_changed_generator_changes_figures_and_is_named(bundle):
    """One bit: the highest of the exponent of a weight, which becomes huge."""
    path = file_in(bundle, GENERATOR)
    before = {name: value.clone() for name, value in load_file(path).items()}
    content = bytearray(path.read_bytes())
    position = content.rindex(before["project.weight"].numpy().tobytes())
    content[position + 3] ^= 0x40
    path.write_bytes(content)
    after = load_file(path)
    assert sum(int((after[name] != value).sum()) for name, value in before.items()) == 1
    result = verify_bundle(bundle)
    name = path.relative_to(bundle).as_posix()
    assert not result.agrees and list(result.damages) == [name]
    rows = rows_of(result)
    assert rows["fid"].agreement == "differs"
    assert "rounding" not in {row.agreement for row in result.rows}  # it is a known other cause
    assert f"{name} has changed (another sha256)" in rows["fid"].why
    assert rows["fid_untrained"].agreement == "exact"  # that is of fresh weights
    checks = {check.what: check.agrees for check in result.checks}
    assert checks == {"README.md": True, "generator.onnx": False, "samples": False}
    assert "differs" in table_text(result) and name in table_text(result)


@pytest.mark.parametrize(
    ("asset", "file"), [("reference_statistics", "classifier-train.npz"), ("classifier", None)]
)
def test_damaged_statistics_and_classifiers_break_nothing(bundle, asset, file):
    path = file_in(bundle, file or "classifier.safetensors")
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    result = verify_bundle(bundle)
    rows = rows_of(result)
    assert rows["fid"].agreement == "not measured" and not result.agrees
    assert any("bytes, not" in reason for reason in rows["fid"].why)


def test_figures_that_were_edited_and_sealed_again_differ(bundle):
    def better(manifest):
        manifest.details["extractors"]["classifier"]["fid"] /= 2

    edit_manifest(bundle, "evaluation", better)
    result = verify_bundle(bundle)
    assert result.damages == {} and not result.agrees
    differing = [row.figure for row in result.rows if not row.agrees]
    assert differing == ["fid"]
    assert rows_of(result)["fid"].why[0].startswith("no cause is known")
    assert {check.what: check.agrees for check in result.checks}["README.md"] is False


def test_another_library_version_is_named_beside_what_differs(bundle):
    """The versions recorded in the evaluation are others, and so is a figure."""

    def older(manifest):
        manifest.provenance["packages"]["torch"] = "1.13.1"
        found = manifest.details["extractors"]["classifier"]
        found["protocols"] = {
            name: text.replace("torch=", "torch=1.13.1 was=") for name, text in found["protocols"].items()
        }
        found["kid"] *= 1.5

    edit_manifest(bundle, "evaluation", older)
    result = verify_bundle(bundle)
    here = provenance()["packages"]["torch"].partition("+")[0]
    told = f"torch 1.13.1 was recorded, here it is {here}"
    assert told in result.notes and told in rows_of(result)["kid"].why
    assert f"protocol: torch 1.13.1 was recorded, here it is {here}" in rows_of(result)["kid"].why
    assert [row.figure for row in result.rows if not row.agrees] == ["kid"]


def test_a_metric_that_cannot_be_measured_here_is_told_and_the_others_are_measured(exported, monkeypatch):
    """One whose weights are not at hand, and one of another version."""

    def missing():
        raise EvaluationError("the weights are not there: fetch them")

    monkeypatch.setitem(METRICS, "kid", dataclasses.replace(METRICS["kid"], weights=missing))
    monkeypatch.setitem(METRICS, "fid", dataclasses.replace(METRICS["fid"], version="99"))
    result = verify_bundle(exported)
    rows = rows_of(result)
    assert not result.agrees
    assert (rows["kid"].agreement, rows["kid"].why[0]) == (
        "not measured",
        "the weights are not there: fetch them",
    )
    assert rows["fid"].agreement == rows["coverage"].agreement == "exact"
    assert any(note.startswith("metric fid: version ") and "99" in note for note in result.notes)


def test_a_card_with_other_figures_does_not_verify(bundle, hasty):
    card = bundle / "README.md"
    text = card.read_text()
    start = text.index("value: ") + len("value: ")
    card.write_text(f"{text[:start]}0.5{text[text.index(chr(10), start) :]}")
    sealed_again(bundle)
    result = verify_bundle(bundle)
    assert result.damages == {}
    assert [check.agrees for check in result.checks if check.what == "README.md"] == [False]


def test_a_card_whose_text_was_edited_does_not_verify(bundle, hasty, monkeypatch):
    """The metadata is right; what people read is not."""
    card = bundle / "README.md"
    card.write_text(card.read_text().replace("## Verdict: ", "## Verdict: not "))
    sealed_again(bundle)
    result = verify_bundle(bundle)
    assert [one.what for one in result.checks if "text" in one.what and not one.agrees] == ["README.md, text"]
    monkeypatch.setattr(module, "provenance", lambda: {**provenance(), "commit": "another"})
    result = verify_bundle(bundle)
    assert not [one for one in result.checks if "text" in one.what]
    assert any("its text is not what this version" in note for note in result.notes)


def test_rounding_of_a_few_values_agrees_and_more_does_not(bundle, exported, monkeypatch, verified):
    """Another processor, as far as one can be had here: every latent a little beside itself."""
    from gan_core import sampling

    original = sampling.images_of

    def rounded(generator, z, labels=None):
        return original(generator, z * (1 + 1e-6), labels)

    monkeypatch.setattr(sampling, "images_of", rounded)
    result = verify_bundle(exported)
    assert result.agrees, table_text(result)
    assert {row.agreement for row in result.rows} <= {"exact", "rounding", "as recorded"}
    assert "no cause is known" not in table_text(result)  # that is of figures that do not agree


@pytest.fixture(scope="module")
def same_images(project, exported, tmp_path_factory):
    """A store that a stranger makes with the bundle's own configuration."""
    store = Store(tmp_path_factory.mktemp("stranger") / "store")
    dataset = load_configs(exported / "configs").dataset("few-digits")
    write_image_shards(store, dataset, collect_raw_images(store, dataset))
    return store


def test_with_the_images_everything_is_measured_again(exported, same_images):
    result = verify_bundle(exported, same_images)
    assert result.agrees, table_text(result)
    assert {row.agreement for row in result.rows} == {"exact"}  # the floors too
    dataset = next(check for check in result.checks if check.what == "dataset")
    assert dataset.found == "the same shards, byte for byte"


def test_another_dataset_is_named_with_what_differs(exported, project, tmp_path):
    """Of the same name and size, but other digits."""
    other = {**project.dataset.model_dump(mode="json"), "limit": 110}
    write_config(tmp_path / "configs", other)
    store, dataset = Store(tmp_path / "store"), load_configs(tmp_path / "configs").dataset("few-digits")
    write_image_shards(store, dataset, collect_raw_images(store, dataset))
    result = verify_bundle(exported, store)
    assert not result.agrees and result.damages == {}
    (told,) = [check.found for check in result.checks if check.what == "dataset"]
    assert told == (
        "another dataset: of 240 images of few-digits, 20 are not in this store (by content, class and "
        "split), which has 0 others"
    )
    row = rows_of(result)["fid"]
    assert row.agreement == "differs" and row.why[0] == told
    assert "protocol: number of real images 120 was recorded, here it is 110" in row.why
    reasons = [line for line in table_text(result).splitlines() if line.startswith("(")]
    assert reasons[0] == f"(1) {told}"
    assert sum("number of real images" in reason for reason in reasons) == 1  # for all figures alike
    assert any(
        reason.endswith("copying 120/120 against 120 was recorded, here it is 120/110 against 110")
        for reason in reasons
    )


def test_a_store_without_the_dataset_is_the_user_s_error(exported, tmp_path):
    with pytest.raises(StoreError, match="image_shards/few-digits is not in"):
        verify_bundle(exported, Store(tmp_path))


def test_a_bundle_on_a_read_only_place_is_verified(exported, tmp_path, hasty):
    copy = shutil.copytree(exported, tmp_path / "bundle")
    for path in [*copy.rglob("*"), copy]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    assert verify_bundle(copy).damages == {}


def test_a_bundle_that_was_filled_with_anything_and_sealed_breaks_nothing(bundle):
    """Whoever makes a bundle chooses its bytes."""

    def without_figures(manifest):
        manifest.details = {"extractors": {"classifier": {"fid": "low", "protocols": 3}, "other": {}}}

    edit_manifest(bundle, "evaluation", without_figures)
    for name in ("classifier-train.npz", "inventory.parquet", "grid.png"):
        file_in(bundle / "store", name).write_bytes(b"PK\x03\x04 nothing")
    for asset in ("reference_statistics", "samples"):
        edit_manifest(bundle, asset, lambda manifest: manifest.details.clear())
    result = verify_bundle(bundle)
    assert result.damages == {} and not result.agrees
    assert "DOES NOT AGREE" in table_text(result)


def test_a_full_scratch_disk_is_no_verdict_on_a_bundle(exported, monkeypatch):
    def full(self, *_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/tmp/verify-x/samples.tar")

    monkeypatch.setattr(module.Remeasuring, "draw", full)
    with pytest.raises(StoreError, match="No space left on device"):
        verify_bundle(exported)


def test_a_bundle_may_be_reached_by_a_link(exported, tmp_path, hasty):
    (tmp_path / "link").symlink_to(exported)
    assert verify_bundle(tmp_path / "link").damages == {}


def test_a_damaged_manifest_is_not_mended_in_the_bundle(bundle, hasty):
    path = manifest_path(bundle, "evaluation")
    flip(path)
    changed = path.read_bytes()
    assert not verify_bundle(bundle).agrees
    assert path.read_bytes() == changed
    assert Bundle.open(bundle).unlisted() == []


def test_weights_that_are_not_finite_are_told(bundle):
    path = file_in(bundle, GENERATOR)
    weights = load_file(path)
    weights["project.weight"].fill_(np.nan)
    save_file(weights, path)
    result = verify_bundle(bundle)
    assert not result.agrees and "nan" in table_text(result)
