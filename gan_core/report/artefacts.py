"""What the report is made of: the manifests that there are of every asset that it shows."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from gan_core.config import Configs
from gan_core.store import Manifest, Store

# By what an asset's partitions are called, whose artefacts the pages read.
SHOWN = {
    "experiments": ("trained_gan", "samples", "evaluation", "analysis"),
    "datasets": ("raw_images", "duplicates", "image_shards", "reference_statistics", "classifier"),
    "sweeps": ("sweep",),
}
OF_A_RESULT = ("trained_gan", "samples", "evaluation")


@dataclass(frozen=True)
class Artefacts:
    """The manifests that the pages are made of.

    `manifests`: by asset, then by experiment or dataset. `answers`: by question. `external`: the evaluations
    of samples from elsewhere, by the name of their row. `unreadable`: by `<asset>/<partition>`, what is wrong
    with an artefact that is there.
    """

    leaderboard: Manifest
    manifests: Mapping[str, Mapping[str, Manifest]] = field(default_factory=dict)
    answers: Mapping[str, Manifest] = field(default_factory=dict)
    external: Mapping[str, Manifest] = field(default_factory=dict)
    unreadable: Mapping[str, str] = field(default_factory=dict)

    def of(self, asset: str, partition: str) -> Manifest | None:
        """The artefact of an experiment, a dataset or a sweep; None where there is none."""
        return self.manifests.get(asset, {}).get(partition)

    def problem(self, asset: str, partition: str) -> str | None:
        """Why an artefact that is there cannot be read; None where it can."""
        return self.unreadable.get(f"{asset}/{partition}")

    @property
    def started(self) -> set[str]:
        """Experiments of which there is anything to show, be it that something is damaged."""
        damaged = (name.partition("/") for name in self.unreadable)
        of_results = {name for asset, _, name in damaged if asset in OF_A_RESULT}
        return of_results.union(*(self.manifests.get(asset, {}) for asset in OF_A_RESULT))

    def of_partition(self, kind: str, partition: str) -> dict[str, Manifest]:
        """The artefacts of one experiment (`kind` is `experiments`), dataset or sweep, by asset."""
        found = {asset: self.of(asset, partition) for asset in SHOWN[kind]}
        return {asset: manifest for asset, manifest in found.items() if manifest}

    def inputs(self) -> dict[str, Manifest]:
        """All manifests, keyed `<asset>/<partition>`."""
        groups = [*self.manifests.values(), self.answers, self.external]
        manifests = [self.leaderboard, *(item for group in groups for item in group.values())]
        return {f"{item.asset}/{item.partition}": item for item in manifests}


def stored(store: Store, configs: Configs, unreadable: dict[str, str]) -> dict[str, dict[str, Manifest]]:
    """By asset and partition, what a store holds of what is configured; what is wrong with the rest goes into
    `unreadable`."""
    return {
        asset: store.all_current(asset, sorted(getattr(configs, kind)), unreadable)
        for kind, assets in SHOWN.items()
        for asset in assets
    }
