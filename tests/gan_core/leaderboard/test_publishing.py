import pytest

from gan_core.leaderboard.publishing import KEPT_VERSIONS, prune
from gan_core.store import Store


class Clock:
    """Manifests are made a second apart, whatever the machine's speed."""

    def __init__(self, store):
        self.store, self.second = store, 0

    def make(self, asset, version, **inputs):
        made = self.store.produce(
            asset, "all", config={"version": version}, inputs=inputs, code_version="1", build=self.write
        )
        self.second += 1
        dated = made.model_copy(update={"created_at": f"2026-01-01T00:00:{self.second:02d}+00:00"})
        place = f"{asset}/all/{made.fingerprint}/manifest.json"
        self.store.write_atomically(place, dated.to_json())
        return dated

    @staticmethod
    def write(work):
        (work.folder / "table.csv").write_bytes(b"1,2")


@pytest.fixture
def clock(tmp_path):
    return Clock(Store(tmp_path / "store"))


def kept(store, asset="leaderboard"):
    return {name for name in store.list_names(f"{asset}/all") if name != "current.json"}


def test_the_current_and_the_newest_stay(clock):
    made = [clock.make("leaderboard", version) for version in range(8)]
    removed = prune(clock.store, made[-1])
    assert set(removed) == {item.fingerprint for item in made[: -1 - KEPT_VERSIONS]}
    assert kept(clock.store) == {item.fingerprint for item in made[-1 - KEPT_VERSIONS :]}
    for item in made[-1 - KEPT_VERSIONS :]:
        assert clock.store.problems(item, hashes=True) == []
    assert clock.store.current("leaderboard", "all").fingerprint == made[-1].fingerprint


def test_the_current_stays_though_it_is_the_oldest(clock):
    made = [clock.make("leaderboard", version) for version in range(6)]
    again = clock.make("leaderboard", 0)  # reused: what it was made from has come back
    prune(clock.store, again)
    assert again.fingerprint == made[0].fingerprint
    assert kept(clock.store) == {made[0].fingerprint, *(item.fingerprint for item in made[-KEPT_VERSIONS:])}


def test_what_another_artefact_was_made_from_stays(clock):
    made = [clock.make("leaderboard", 0)]
    clock.make("report", 0, **{"leaderboard/all": made[0]})
    made += [clock.make("leaderboard", version) for version in range(1, 8)]
    prune(clock.store, made[-1], read_by=("report",))
    newest = {item.fingerprint for item in made[-1 - KEPT_VERSIONS :]}
    assert kept(clock.store) == newest | {made[0].fingerprint}


def test_what_is_not_whole_yet_or_cannot_be_read_is_left_alone(clock):
    attempt, damaged = "a" * 64, "b" * 64
    clock.store.write_atomically(f"leaderboard/all/{attempt}/files-1234/table.csv", b"half")
    clock.store.write_atomically(f"leaderboard/all/{damaged}/manifest.json", b"{")
    made = [clock.make("leaderboard", version) for version in range(6)]
    prune(clock.store, made[-1])
    assert {attempt, damaged} <= kept(clock.store)


def test_on_s3(s3_store):
    clock = Clock(s3_store)
    made = [clock.make("leaderboard", version) for version in range(6)]
    assert len(prune(s3_store, made[-1])) == 6 - 1 - KEPT_VERSIONS
    assert kept(s3_store) == {item.fingerprint for item in made[-1 - KEPT_VERSIONS :]}
