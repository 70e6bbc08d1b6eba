"""Small stores with lineages: `raw` is made into `table`, `table` into `sum`."""

from gan_core.config import Keep, KeepPolicy
from gan_core.store import Build, Manifest, Store

NOTHING_OLD = KeepPolicy(keep=Keep(versions=0, days=0), unfinished_days=0)


def make(store: Store, asset: str, content: bytes, *, partition: str = "p", **inputs: Manifest) -> Manifest:
    """An artefact of two files, by its content and its inputs."""

    def write(work: Build) -> None:
        (work.folder / "sub").mkdir()
        (work.folder / "sub" / "data.bin").write_bytes(content)
        (work.folder / "more.bin").write_bytes(content * 100)

    return store.produce(
        asset, partition, config={"content": content.decode()}, inputs=inputs, code_version="1", build=write
    )


def make_lineage(store: Store, content: bytes, partition: str = "p") -> tuple[Manifest, Manifest, Manifest]:
    """All three, which become current."""
    raw = make(store, "raw", content, partition=partition)
    table = make(store, "table", content, partition=partition, raw=raw)
    return raw, table, make(store, "sum", content, partition=partition, **{f"table/{partition}": table})


def is_whole(store: Store, manifest: Manifest) -> bool:
    """Whether it is there with every byte; that it is there and is not whole is an error."""
    found = store.read_manifest(manifest.asset, manifest.partition, manifest.fingerprint)
    if found is None:
        return False
    assert found == manifest
    assert store.problems(found, hashes=True) == []
    return True
