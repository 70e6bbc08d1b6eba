"""What each asset takes of the store, in the UI."""

import json

import dagster as dg

from gan_core.store import Store
from pipelines.disk_use import measure_store


def test_each_asset_shows_its_bytes_and_largest_partitions(tmp_path):
    store = Store(tmp_path / "store")

    def build(size: int):
        return lambda work: (work.folder / "file").write_bytes(b"x" * size) and None

    for name, size in (("small", 10), ("large", 30_000)):
        store.produce("samples", name, config={}, inputs={}, code_version="1", build=build(size))
    with dg.DagsterInstance.ephemeral() as instance:
        result = measure_store.execute_in_process(instance=instance, resources={"store": store})
        assert result.success
        (record,) = instance.fetch_observations(dg.AssetKey("samples"), limit=1).records
    shown = {name: one.value for name, one in record.asset_observation.metadata.items()}
    on_disk = sum(
        path.stat().st_size for path in (tmp_path / "store" / "samples").rglob("*") if path.is_file()
    )
    assert shown["disk_bytes"] == on_disk > 30_000
    assert (shown["partitions_on_disk"], shown["disk_bytes_older"]) == (2, 0)
    assert shown["largest"].index("large") < shown["largest"].index("small")
    assert json.dumps(shown)
