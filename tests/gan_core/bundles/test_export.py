"""Exporting: what is in a bundle, what is not, and that it is there whole or not at all."""

import errno
import importlib.metadata
import multiprocessing
import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
import torch
from huggingface_hub import ModelCard
from packaging.requirements import Requirement
from safetensors.torch import load_file

from gan_core.bundles import export, onnx_file
from gan_core.bundles.card import _table_and_protocols
from gan_core.bundles.contents import Bundle
from gan_core.bundles.export import export_bundle
from gan_core.bundles.onnx_file import COMPARED, TOLERANCE, largest_difference, write_onnx
from gan_core.config import load_configs
from gan_core.errors import ConfigError, GanError, StoreError
from gan_core.evaluation.figures import write_figure
from gan_core.leaderboard.verdicts import verdict_text
from gan_core.sampling import load_generator
from gan_core.store import Store
from tests.gan_core.bundles.small_bundle import flip, listed


@pytest.fixture
def without_onnx(monkeypatch):
    """An export in a moment: the ONNX file is made by the shared bundle's export, and not again."""
    told = {"opset": 20, "inputs": ["z"], "image_range": [-1, 1], "compared": 1, "largest_difference": 0.0}
    monkeypatch.setattr(export, "write_onnx", lambda *_: told)


def export_to(project, target, **values):
    return export_bundle(project.store, project.experiment, project.dataset, target, **values)


def test_a_bundle_is_a_store_and_its_configurations(exported, project):
    bundle, store = Bundle.open(exported), Store(exported / "store")
    configs = load_configs(exported / "configs")
    assert configs.mistakes == ()
    assert configs.experiment("plain").training_identity() == project.experiment.training_identity()
    assert configs.dataset("few-digits") == project.dataset
    trained = store.require("trained_gan", "plain")
    assert trained == bundle.manifest("trained_gan")
    generator = load_generator(store, trained).state_dict()
    original = project.store.local(project.store.require("trained_gan", "plain"), "generator.safetensors")
    assert all(torch.equal(generator[name], value) for name, value in load_file(original).items())
    for asset in ("raw_images", "image_shards", "classifier", "reference_statistics"):
        made, recorded = project.store.require(asset, "few-digits"), store.require(asset, "few-digits")
        assert (made.version, made.figures) == (recorded.version, recorded.figures)
    assert store.require("evaluation", "plain").details == project.evaluation.details
    left_out = bundle.listed.artefacts["image_shards"].left_out
    assert left_out == {
        name: file.size for name, file in store.require("image_shards", "few-digits").files.items()
    }
    assert "discriminator.safetensors" in bundle.listed.artefacts["trained_gan"].left_out
    assert not [name for name in listed(exported)["files"] if name.endswith(".tar")]


def test_the_onnx_file_gives_the_same_images_for_any_batch(exported):
    bundle = Bundle.open(exported)
    generator = load_generator(bundle.store, bundle.manifest("trained_gan"))
    assert bundle.listed.onnx["compared"] == COMPARED >= 1000
    assert bundle.listed.onnx["largest_difference"] <= TOLERANCE
    assert largest_difference(generator, exported / "generator.onnx", 300, seed=11) <= TOLERANCE
    with torch.no_grad():
        generator.project.weight.mul_(1.01)
    assert largest_difference(generator, exported / "generator.onnx", 300, seed=11) > TOLERANCE


def test_an_onnx_file_that_differs_is_not_exported(exported, tmp_path, monkeypatch):
    import onnx

    bundle, right = Bundle.open(exported), onnx.load(exported / "generator.onnx")
    monkeypatch.setattr(onnx_file, "_exported", lambda _: right)
    generator = load_generator(bundle.store, bundle.manifest("trained_gan"))
    with torch.no_grad():
        generator.project.weight.mul_(1.01)
    with pytest.raises(GanError, match="differ from PyTorch's by .* more than 0.0001: it is not exported"):
        write_onnx(generator, tmp_path / "generator.onnx", 0)
    assert list(tmp_path.iterdir()) == []


def test_nothing_tells_where_it_was_made(exported, project):
    """Every byte of the bundle, compressed parts aside."""
    places = [str(project.folder), str(Path.home()), str(Path(export.__file__).parents[2]), "/site-packages"]
    for path in exported.rglob("*"):
        content = path.read_bytes() if path.is_file() else b""
        found = [place for place in places if place != "/" and place.encode() in content]
        assert not found, path


def test_the_card_has_the_figures_with_intervals_protocols_and_the_licence(exported, project):
    card = ModelCard.load(exported / "README.md")
    assert card.data.model_name == "plain"
    assert card.data.pipeline_tag == "unconditional-image-generation"
    results = {result.metric_type: result for result in card.data.eval_results}
    of_classifier = project.evaluation.details["extractors"]["classifier"]
    assert set(results) == {
        f"{name}_by_classifier"
        for name in ("fid", "kid", "coverage", "copying", "inception_score", "class_accuracy")
    }
    for name in ("kid", "coverage"):
        result = results[f"{name}_by_classifier"]
        assert result.metric_value == of_classifier[name]
        assert result.metric_config == of_classifier["protocols"][name]
        assert result.metric_args["low"] == of_classifier[f"{name}_low"]
        assert (result.dataset_name, result.dataset_split) == ("few-digits", "train")
    text = card.text
    assert "Licence of the images: CC BY 4.0" in text
    assert "Licence of this model: not stated" in text
    assert "![Samples](grid.png)" in text and (exported / "grid.png").stat().st_size > 1000
    trained = project.store.require("trained_gan", "plain")
    assert f"## Verdict: {verdict_text(trained, project.evaluation)}\n\n- " in text
    assert "gan_core verify" in text and "gan_core sample" in text
    assert "speaks against" not in text


def test_the_card_has_real_images_beside_the_samples(exported, project):
    text = ModelCard.load(exported / "README.md").text
    floors = project.store.require("reference_statistics", "few-digits").details["extractors"]["classifier"]
    real = floors["floor"]["test_against_train"]["figures"]
    found = project.evaluation.details["extractors"]["classifier"]
    which = "120 test images against the train images | classifier |"
    for name, words in (("fid", "FID ↓"), ("coverage", "Coverage ↑")):
        assert f"| {words} | {write_figure(name, found)} | {write_figure(name, real)} | {which}" in text


def test_a_column_of_the_card_that_would_be_empty_is_left_out():
    protocols = {"fid": "classifier-1a2b n=5 vs d/train(6)@9f8f seed=0"}
    table, _ = _table_and_protocols({"fid": 3.5, "fid_test": 4.5, "fid_floor": None, "protocols": protocols})
    assert "against test images" in table and "4.5" in table
    assert "real against real" not in table and "untrained" not in table
    assert {line.count("|") for line in table.splitlines()} == {6}


def test_the_python_of_the_card_runs(exported, monkeypatch):
    (code,) = re.findall(r"```python\n(.*?)```", (exported / "README.md").read_text(), re.DOTALL)
    monkeypatch.chdir(exported)
    names: dict = {}
    exec(code, names)
    assert names["images"].shape == (16, 1, 16, 16)


def test_requirements_are_those_that_are_installed(exported):
    lines = [line for line in (exported / "requirements.txt").read_text().splitlines() if line[0] != "#"]
    found = {(one := Requirement(line)).name: str(one.specifier) for line in lines}
    for name in ("torch", "numpy", "scikit-learn", "onnxruntime", "huggingface-hub", "pyarrow", "jinja2"):
        assert found[name] == "==" + importlib.metadata.version(name).partition("+")[0]
    assert "dagster" not in found and "pytest" not in found


def test_the_same_again_is_reused_and_a_damaged_one_is_not(exported, project, bundle, without_onnx):
    assert export_to(project, exported)[1]
    flip(bundle / "README.md")
    with pytest.raises(GanError, match="replace it with --force"):
        export_to(project, bundle)
    again, reused = export_to(project, bundle, force=True)
    assert not reused and again.damages(print) == {}
    assert [path.name for path in bundle.parent.iterdir()] == ["bundle"]


def test_other_files_are_not_written_over(project, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("all of it")
    (tmp_path / "file").write_text("x")
    (tmp_path / "link").symlink_to(tmp_path / "mine")
    for name in ("mine", "file", "link"):
        with pytest.raises(GanError, match="name another place"):
            export_to(project, tmp_path / name, force=True)
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "all of it"


def test_a_killed_export_leaves_no_bundle_and_the_next_one_cleans_up(project, tmp_path, without_onnx):
    target = tmp_path / "out" / "bundle"

    def die(*_):
        os.kill(os.getpid(), signal.SIGKILL)

    def killed_in(name):
        setattr(export, name, die)
        export_to(project, target)

    for name in ("card_text", "_hashes"):
        process = multiprocessing.get_context("fork").Process(target=killed_in, args=(name,))
        process.start()
        process.join(60)
        assert process.exitcode == -signal.SIGKILL
        (left,) = target.parent.iterdir()
        assert left.name.startswith(".bundle.")
        with pytest.raises(StoreError, match="is no bundle"):
            Bundle.open(left)
    export_to(project, target)
    assert [path.name for path in target.parent.iterdir()] == ["bundle"]
    assert Bundle.open(target).damages(print) == {}


@pytest.mark.parametrize(("number", "remedy"), [(errno.ENOSPC, "free space"), (errno.EROFS, "for writing")])
def test_a_disk_that_takes_nothing_more_is_told_and_left_as_it_was(
    project, tmp_path, monkeypatch, without_onnx, number, remedy
):
    def full(source, target):
        raise OSError(number, os.strerror(number), str(target))

    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(StoreError, match=remedy):
        export_to(project, tmp_path / "bundle")
    assert list(tmp_path.iterdir()) == []


def test_a_real_disk_that_is_full_or_read_only(project, tmp_path, without_onnx):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a file system needs root")
    try:
        with pytest.raises(StoreError, match=r"No space left on device.*free space there.*--out"):
            export_to(project, disk / "bundle")
        assert list(disk.iterdir()) == []
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        with pytest.raises(StoreError, match=r"Read-only file system.*--out"):
            export_to(project, disk / "bundle")
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_what_is_no_longer_as_it_was_measured_is_not_exported(project, tmp_path):
    changed = project.experiment.model_copy(update={"batch_size": 25})
    with pytest.raises(ConfigError, match=r"another configuration .*batch_size 50 → 25"):
        export_bundle(project.store, changed, project.dataset, tmp_path / "bundle")
    evaluation = project.dataset.evaluation.model_copy(update={"samples": 99})
    other = project.dataset.model_copy(update={"evaluation": evaluation})
    with pytest.raises(ConfigError, match=r"made by other settings .*sample plain"):
        export_bundle(project.store, project.experiment, other, tmp_path / "bundle")
    empty = Store(tmp_path / "empty")
    with pytest.raises(StoreError, match="evaluate plain"):
        export_bundle(empty, project.experiment, project.dataset, tmp_path / "bundle")


def test_a_damaged_artefact_is_not_exported(project, tmp_path, without_onnx):
    store = Store(shutil.copytree(project.folder / "store", tmp_path / "store"))
    flip(store.local(store.require("classifier", "few-digits"), "classifier.safetensors"))
    with pytest.raises(StoreError, match="classifier.safetensors does not match its manifest"):
        export_bundle(store, project.experiment, project.dataset, tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()


def test_missing_packages_are_named_before_any_work(project, tmp_path, monkeypatch):
    monkeypatch.setattr(export, "PACKAGES", ("onnx", "no-such-package"))
    with pytest.raises(GanError, match="no-such-package is not installed.*pip install"):
        export_to(project, tmp_path / "bundle")
    assert list(tmp_path.iterdir()) == []
