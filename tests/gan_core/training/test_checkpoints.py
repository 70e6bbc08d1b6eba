"""Checkpoints: kept, verified, refused, removed; on a local store and on a remote one."""

import hashlib
import io
import json
import multiprocessing
import resource
import shutil
import signal
import subprocess
import uuid
from pathlib import Path

import pytest
import s3fs
import torch
from botocore.exceptions import EndpointConnectionError

from gan_core.errors import StoreError, TrainingError
from gan_core.store import Store
from gan_core.training.checkpoints import Checkpoints

KEY = "a" * 64


@pytest.fixture(params=["local", "remote"])
def any_store(request, tmp_path) -> Store:
    if request.param == "local":
        return Store(tmp_path / "store")
    return Store(f"memory://{uuid.uuid4().hex}", cache=tmp_path / "cache")


def checkpoints(store: Store, lines: list[str] | None = None, fingerprint: str = KEY) -> Checkpoints:
    emit = (lambda line: None) if lines is None else lines.append
    return Checkpoints(store, "trained_gan", "small", fingerprint, emit)


def state(images_seen: int) -> dict:
    return {"images_seen": images_seen, "weight": torch.full((3,), float(images_seen))}


def test_the_newest_is_loaded_and_two_are_kept(any_store):
    saving = checkpoints(any_store)
    assert saving.load_newest() is None
    for images_seen in (90, 1000, 100_000):
        saving.save(state(images_seen))
    files = sorted(path.rsplit("/", 1)[-1] for path in any_store.fs.ls(saving.folder, detail=False))
    assert files == [
        "checkpoint-000000001000.json",
        "checkpoint-000000001000.pt",
        "checkpoint-000000100000.json",
        "checkpoint-000000100000.pt",
    ]
    loaded = checkpoints(any_store).load_newest()
    assert loaded["images_seen"] == 100_000
    assert torch.equal(loaded["weight"], torch.full((3,), 100_000.0))


@pytest.mark.parametrize("damage", ["truncated", "changed", "no json", "half json"])
def test_a_damaged_one_is_reported_and_the_one_before_it_is_used(any_store, damage):
    saving = checkpoints(any_store)
    saving.save(state(100))
    saving.save(state(200))
    path = f"{saving.folder}/checkpoint-000000000200"
    content = any_store.fs.cat_file(f"{path}.pt")
    if damage == "truncated":
        any_store.fs.pipe_file(f"{path}.pt", content[:-100])
    elif damage == "changed":
        any_store.fs.pipe_file(f"{path}.pt", content[:500] + b"?" + content[501:])
    elif damage == "no json":
        any_store.fs.rm_file(f"{path}.json")
    else:
        any_store.fs.pipe_file(f"{path}.json", any_store.fs.cat_file(f"{path}.json")[:20])
    lines: list[str] = []
    loading = checkpoints(any_store, lines)
    assert loading.load_newest()["images_seen"] == 100
    assert loading.last.endswith("checkpoint-000000000100.pt")
    assert len(lines) == 1
    assert f"{path}.pt is incomplete or damaged" in lines[0]


def test_one_of_another_configuration_is_refused_by_name(any_store):
    other, mine = checkpoints(any_store, fingerprint="b" * 64), checkpoints(any_store)
    other.save(state(100))
    for extension in ("pt", "json"):
        content = any_store.fs.cat_file(f"{other.folder}/checkpoint-000000000100.{extension}")
        any_store.write_atomically(f"{mine.relative}/checkpoint-000000000100.{extension}", content)
    with pytest.raises(TrainingError, match=r"checkpoint-000000000100\.pt belongs to another configuration"):
        mine.load_newest()


def test_nothing_in_a_file_is_run(any_store, tmp_path):
    class Evil:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "was-run",))

    saving = checkpoints(any_store)
    saving.save({"images_seen": 100, "evil": Evil()})
    lines: list[str] = []
    assert checkpoints(any_store, lines).load_newest() is None
    (line,) = lines
    assert (
        "checkpoint-000000000100.pt is no checkpoint and is not used (UnpicklingError: Weights only" in line
    )
    assert not (tmp_path / "was-run").exists()


def test_remove_all(any_store):
    saving = checkpoints(any_store)
    saving.remove_all()  # nothing there: nothing to do
    saving.save(state(100))
    saving.remove_all()
    assert checkpoints(any_store).load_newest() is None
    assert not any_store.fs.exists(saving.folder)


def names(saving: Checkpoints) -> list[str]:
    return saving.store.list_names(saving.relative)


def kept(saving: Checkpoints) -> list[int]:
    return [int(name[11:-3]) for name in names(saving) if name.endswith(".pt")]


def test_the_best_stays_until_another_is_the_best(any_store):
    saving = checkpoints(any_store)
    saving.save(state(100))
    saving.save(state(200), best=True)
    for images_seen in (300, 400, 500):
        saving.save(state(images_seen))
    assert kept(saving) == [200, 400, 500]
    assert checkpoints(any_store).load_newest()["images_seen"] == 500
    saving.save(state(600), best=True)
    assert kept(saving) == [500, 600]
    saving.save(state(600))  # saved again, as at an interrupt: still the best
    for images_seen in (700, 800):
        saving.save(state(images_seen))
    assert kept(saving) == [600, 700, 800]


def test_as_many_are_kept_as_asked_for(store):
    saving = Checkpoints(store, "trained_gan", "small", KEY, lambda line: None, keep=3)
    for images_seen in range(100, 700, 100):
        saving.save(state(images_seen))
    assert kept(saving) == [400, 500, 600]
    with pytest.raises(ValueError, match="keep is 0"):
        Checkpoints(store, "trained_gan", "small", KEY, lambda line: None, keep=0)


def test_what_a_killed_write_has_left_goes_away_and_costs_no_good_one(store):
    saving = checkpoints(store)
    saving.save(state(100))
    saving.save(state(200))
    folder = Path(saving.folder)
    (folder / ".checkpoint-000000000300.pt.0badf00d").write_bytes(b"half")
    (folder / "checkpoint-000000000300.pt").write_bytes(b"without its json")
    assert checkpoints(store).load_newest()["images_seen"] == 200
    saving.save(state(400))
    assert kept(saving) == [200, 400]
    assert len(names(saving)) == 4


def litter(store: Store, folder: str) -> list[str]:
    """Files of all kinds among the checkpoints, none of them a checkpoint; their names."""
    strays = {
        "notes.txt": b"hello",
        "old/checkpoint-000000000900.pt": b"in a folder",
        "checkpoint-latest.pt": b"",
        "checkpoint-000000000300 (copy).pt": b"",
        "checkpoint-000000000500.pt": b"without json",
        "checkpoint-000000000600.json": b"[" * 100_000,
        "checkpoint-000000000600.pt": b"garbage json",
        "checkpoint-000000000700.json": b'{"size": "x", "sha256": 5}',
        "checkpoint-000000000700.pt": b"odd json",
        "checkpoint-000000000800.json": json.dumps(
            {"size": 7, "sha256": hashlib.sha256(b"garbage").hexdigest()}
        ).encode(),
        "checkpoint-000000000800.pt": b"garbage",
        "checkpoint-000000000900.json": b"null",
        "checkpoint-000000000900.pt/a-folder": b"",
    }
    for name, content in strays.items():
        store.fs.makedirs(f"{folder}/{name}".rsplit("/", 1)[0], exist_ok=True)
        store.fs.pipe_file(f"{folder}/{name}", content)
    return sorted({name.split("/")[0] for name in strays})


def test_strays_are_not_used_and_the_users_own_are_left(any_store):
    saving = checkpoints(any_store)
    saving.save(state(100))
    saving.save(state(200), best=True)
    litter(any_store, saving.folder)
    lines: list[str] = []
    loading = checkpoints(any_store, lines)
    assert loading.load_newest()["images_seen"] == 200
    assert len([line for line in lines if "000800.pt is no checkpoint and is not used" in line]) == 1
    assert len([line for line in lines if "incomplete or damaged" in line]) >= 3
    saving.save(state(300))
    left = ["checkpoint-000000000300 (copy).pt", "checkpoint-latest.pt", "notes.txt", "old"]
    assert [name for name in names(saving) if name in left] == left
    saving.save(state(1000))
    assert checkpoints(any_store).load_newest()["images_seen"] == 1000
    saving.remove_all()
    assert names(saving) == []


def test_what_torch_saved_for_something_else_is_not_used(any_store):
    saving = checkpoints(any_store)
    for number, content in enumerate(([1, 2], {"state": {}}, {"fingerprint": 3, "state": {}})):
        buffer = io.BytesIO()
        torch.save(content, buffer)
        described = {"size": buffer.tell(), "sha256": hashlib.sha256(buffer.getvalue()).hexdigest()}
        name = f"{saving.relative}/checkpoint-{number:012d}"
        any_store.write_atomically(f"{name}.pt", buffer.getvalue())
        any_store.write_atomically(f"{name}.json", json.dumps(described).encode())
    lines: list[str] = []
    assert checkpoints(any_store, lines).load_newest() is None
    assert len([line for line in lines if "is no checkpoint and is not used" in line]) == 3


# --- stores that fail -------------------------------------------------------------------------------------


def check_failed_save(saving: Checkpoints, before: list[str], reason: str) -> None:
    """A save fails in one clear error, and leaves what was there, whole, and nothing else."""
    with pytest.raises(TrainingError) as caught:
        saving.save(big_state(200))
    message = str(caught.value)
    assert "the checkpoint at 200 images seen could not be written" in message
    assert reason in message
    assert f"{saving.folder}/checkpoint-000000000100.pt (100 images seen)" in message
    assert "Once that is mended, run `python -m gan_core train small`: the training goes on" in message
    assert names(saving) == before
    assert checkpoints(saving.store).load_newest()["images_seen"] == 100


def big_state(images_seen: int) -> dict:
    return {**state(images_seen), "big": torch.zeros(300_000)}


@pytest.fixture
def small_disk(tmp_path):
    """A real file system of 1 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("mounting a file system needs root; the next test does not")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.skipif(shutil.which("mount") is None, reason="there is no `mount` here")
def test_a_full_disk_leaves_the_last_good_one(small_disk):
    saving = checkpoints(Store(small_disk))
    saving.save(state(100))
    check_failed_save(saving, names(saving), "No space left on device")
    before, pages = names(saving), -(-(Path(saving.folder) / f"{names(saving)[1]}").stat().st_size // 4096)
    # There is room for the checkpoint itself, then none for its description.
    (small_disk / "ballast").write_bytes(b"0" * (shutil.disk_usage(small_disk).free - 4096 * pages))
    with pytest.raises(TrainingError, match=r"No space left.*000100\.pt \(100 images seen\)"):
        saving.save(state(200))
    assert names(saving) == before
    assert checkpoints(saving.store).load_newest()["images_seen"] == 100
    (small_disk / "ballast").unlink()
    saving.save(state(300))
    assert checkpoints(saving.store).load_newest()["images_seen"] == 300


def _save_under_a_file_size_limit(root: str) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
    saving = checkpoints(Store(root))
    saving.load_newest()
    check_failed_save(saving, names(saving), "File too large")


def test_a_write_that_the_system_refuses_half_way_leaves_the_last_good_one(store):
    checkpoints(store).save(state(100))
    process = multiprocessing.get_context("fork").Process(
        target=_save_under_a_file_size_limit, args=(store.root,)
    )
    process.start()
    process.join(60)
    assert process.exitcode == 0


@pytest.mark.parametrize("ending", [".pt", ".json"])
def test_s3_that_fails_leaves_the_last_good_one(s3_store, monkeypatch, ending):
    saving = checkpoints(s3_store)
    saving.save(state(100))
    before = names(saving)
    call = s3fs.S3FileSystem._call_s3

    async def fail(self, method, *arguments, **options):
        if method == "put_object" and options["Key"].endswith(ending):
            raise EndpointConnectionError(endpoint_url="http://nowhere")
        return await call(self, method, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(s3fs.S3FileSystem, "_call_s3", fail)
        patch.setattr(s3_store.reading, "patience", 0.1)
        check_failed_save(saving, before, 'Could not connect to the endpoint URL: "http://nowhere"')
    saving.save(state(200))
    assert checkpoints(s3_store).load_newest()["images_seen"] == 200


def test_s3_that_is_gone_is_one_clear_error(s3_store, monkeypatch):
    saving = checkpoints(s3_store)
    saving.save(state(100))

    async def fail(self, method, *arguments, **options):
        raise EndpointConnectionError(endpoint_url="http://nowhere")

    with monkeypatch.context() as patch:
        patch.setattr(s3fs.S3FileSystem, "_call_s3", fail)
        patch.setattr(s3_store.reading, "patience", 0.1)
        with pytest.raises(TrainingError, match="could not be written.*000100.pt.*could not be removed"):
            saving.save(state(200))
        with pytest.raises(StoreError, match="cannot be read: Could not connect"):
            checkpoints(s3_store).load_newest()
    assert checkpoints(s3_store).load_newest()["images_seen"] == 100


def test_the_side_file_describes_the_checkpoint(store):
    saving = checkpoints(store)
    saving.save(state(100))
    path = Path(saving.folder) / "checkpoint-000000000100.pt"
    assert json.loads(path.with_suffix(".json").read_text())["size"] == path.stat().st_size
