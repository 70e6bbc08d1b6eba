"""A split of a configured dataset, whose statistics the store holds, in place of its images."""

from dataclasses import dataclass

from gan_core import steps
from gan_core.config import Configs, Dataset
from gan_core.config.datasets import Split
from gan_core.errors import EvaluationError
from gan_core.remedies import how_to_make
from gan_core.store import Manifest, Store

SPLITS = ("train", "test")


@dataclass(frozen=True)
class StoredSplit:
    """One split of a dataset with what the store holds of it; `classifier` is the one that the reference
    statistics stand on, if they stand on one."""

    dataset: Dataset
    split: Split
    reference: Manifest
    classifier: Manifest | None = None

    @property
    def location(self) -> str:
        return f"{self.dataset.name}/{self.split}"


def stored_split(name: str, store: Store, configs: Configs) -> StoredSplit | None:
    """The split that `DATASET/train` or `DATASET/test` names; None for any other text.

    The folder that is called so has to be named otherwise, as `./DATASET/train`. Raises `StoreError` where
    the dataset's reference statistics are not made, `EvaluationError` where they are not those that the
    configuration, the shards and this version of the code would make.
    """
    dataset, _, split = name.partition("/")
    if split not in SPLITS or dataset not in configs.datasets:
        return None
    reference = store.require("reference_statistics", dataset)
    made_with = reference.inputs.get("classifier")
    classifier = store.read_manifest("classifier", dataset, made_with) if made_with else None
    found = StoredSplit(configs.dataset(dataset), split, reference, classifier)
    shards = store.require("image_shards", dataset)
    if steps.reference_statistics(found.dataset, shards, classifier).fingerprint != reference.fingerprint:
        raise EvaluationError(
            f"reference_statistics/{dataset} were made from other shards, by other settings or by an earlier "
            f"version than these: {how_to_make('reference_statistics', dataset)}"
        )
    return found
