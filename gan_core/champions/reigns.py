"""The champions of a dataset, one after the other, as the manifest of today's one tells. Imports no torch."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from gan_core.config import unknown
from gan_core.errors import StoreError
from gan_core.remedies import how_to_make
from gan_core.store import Manifest, Store
from gan_core.store.reading import reading

ASSET = "champion"


@dataclass(frozen=True)
class Reign:
    """One champion, from when it was promoted, or gone back to, until the next one.

    `row`: the configuration on the leaderboard that it is a seed of. `training`: the version of its training.
    `fingerprint`: of its artefact in the store, which has its bundle. `since`: ISO 8601, UTC. `figures`:
    those of the row, with the ends of their intervals.
    """

    experiment: str
    row: str
    protocol: str
    training: str
    fingerprint: str
    since: str
    how: Literal["promoted", "back"]
    reason: str
    figures: dict[str, float] = field(default_factory=dict)

    def record(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)


def champion_of(store: Store, dataset: str) -> Manifest:
    """The artefact of a dataset's champion; a `StoreError` where there is none."""
    champion = store.current(ASSET, dataset)
    if champion is None:
        raise StoreError(f"{dataset} has no champion in {store.url}: {_remedy(store, dataset)}")
    return champion


def _remedy(store: Store, dataset: str) -> str:
    """To promote one, or to name another dataset where the store has no images of this one."""
    known = store.list_names("image_shards")
    if dataset in known:
        return how_to_make(ASSET, dataset)
    return unknown("it holds no images of", dataset, known)


def reign_of(champion: Manifest) -> Reign:
    """Today's."""
    told = champion.details
    with reading(f"{champion.asset}/{champion.partition}", how_to_make(ASSET, champion.partition)):
        return Reign(
            fingerprint=champion.fingerprint,
            since=champion.created_at,
            figures=dict(champion.figures),
            **{name: told[name] for name in ("experiment", "row", "protocol", "training", "how", "reason")},
        )


def history(champion: Manifest) -> list[Reign]:
    """All of them, the first one first, today's last."""
    with reading(f"{champion.asset}/{champion.partition}", how_to_make(ASSET, champion.partition)):
        earlier = [Reign(**record) for record in champion.details["history"]]
    return [*earlier, reign_of(champion)]


def standing(reigns: Iterable[Reign]) -> list[Reign]:
    """Those that were not taken back: today's last, and before it the one to go back to.

    A training that was exported again, as its bundle was damaged, is one with the new bundle.
    """
    found: list[Reign] = []
    for reign in reigns:
        if reign.how == "back" or (found and found[-1].training == reign.training):
            found.pop()
        if reign.how == "promoted":
            found.append(reign)
    return found


def taken_back(reigns: Iterable[Reign]) -> frozenset[str]:
    """The trainings that were champions, were taken back, and were not promoted since."""
    found: set[str] = set()
    last = ""
    for reign in reigns:
        if reign.how == "back":
            found.add(last)
        else:
            found.discard(reign.training)
        last = reign.training
    return frozenset(found)
