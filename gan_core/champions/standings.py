"""The rows of one dataset on the leaderboard, and what a test of two of them reads. Imports no torch."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from gan_core.errors import StoreError
from gan_core.evaluation.evidence import read_evidence
from gan_core.evaluation.figures import is_missing
from gan_core.evaluation.metrics import METRICS, interval_names
from gan_core.evaluation.statistics.comparing import Candidate
from gan_core.leaderboard.candidates import candidate_of
from gan_core.leaderboard.folding import RANKED_BY, TESTED_BY
from gan_core.leaderboard.leaderboard import read_leaderboard, read_seeds
from gan_core.leaderboard.rows import EXTERNAL
from gan_core.store import Manifest, Store

Row = Mapping[str, Any]
SEED_COLUMNS = ("experiment", "seed", RANKED_BY, *interval_names(RANKED_BY))


@dataclass(frozen=True)
class Side:
    """One of the two that are compared: a row of the leaderboard, as it is or as it once was.

    `seeds`: by column, the seeds behind it (`SEED_COLUMNS`). `demoted_for`: why it ranks behind others.
    """

    row: str
    protocol: str
    seeds: tuple[Row, ...]
    evidence: dict[str, np.ndarray] | None = None
    demoted_for: str = ""

    @property
    def candidate(self) -> Candidate:
        return candidate_of(RANKED_BY, self.seeds, evidence=self.evidence)


@dataclass(frozen=True)
class Standings:
    """`rows`: by column, best first within each protocol; `seeds`: those behind all of them."""

    store: Store
    leaderboard: Manifest
    rows: tuple[Row, ...]
    seeds: tuple[Row, ...]

    @classmethod
    def read(cls, store: Store, leaderboard: Manifest, dataset: str) -> "Standings":
        rows, seeds = (
            tuple(frame[frame["dataset"] == dataset].to_dict("records"))
            for frame in (read_leaderboard(store, leaderboard), read_seeds(store, leaderboard))
        )
        return cls(store, leaderboard, rows, seeds)

    def seeds_of(self, row: Row) -> list[Row]:
        """The seeds of a row, the one with the lowest FID first."""
        key = row["experiment"], row["protocol"]
        found = [seed for seed in self.seeds if (seed["group"], seed["protocol"]) == key]
        return sorted(found, key=lambda seed: (is_missing(seed[RANKED_BY]), seed[RANKED_BY]))

    def version(self, asset: str, experiment: str) -> str | None:
        """The version of an experiment's artefact that the leaderboard was made from."""
        return self.leaderboard.input_versions.get(f"{asset}/{experiment}")

    def has(self, row: Row, training: str) -> bool:
        """Whether a training of this version is among the seeds of a row."""
        return any(self.version("trained_gan", name) == training for name in row["members"].split())

    def side(self, row: Row) -> Side:
        seeds = self.seeds_of(row)
        evidence = self._evidence(seeds[0]["experiment"]) if len(seeds) == 1 else None
        records = tuple(seed_record(seed) for seed in seeds)
        return Side(row["experiment"], row["protocol"], records, evidence, row["demoted_for"])

    def _evidence(self, experiment: str) -> dict[str, np.ndarray] | None:
        """What the test of one seed reads; None where it has to do without."""
        fingerprint = self.leaderboard.inputs.get(f"evaluation/{experiment}")
        try:
            found = fingerprint and self.store.read_manifest("evaluation", experiment, fingerprint)
            return read_evidence(self.store, found, TESTED_BY) if found else None
        except StoreError:  # as the leaderboard, which says so
            return None


def seed_record(seed: Row) -> dict[str, Any]:
    """What a test reads of a seed, as JSON."""
    values = {name: seed[name] for name in SEED_COLUMNS}
    return {name: None if is_missing(value) else value for name, value in values.items()}


def figures_of(row: Row) -> dict[str, float]:
    """The main figures of a row, with the ends of their intervals, and how many seeds it has."""
    names = [name for metric in METRICS.values() for name in (metric.main, *interval_names(metric.main))]
    found = {name: float(row[name]) for name in names if not is_missing(row[name])}
    return {**found, "seeds": int(row["seeds"])}


def reason_against(row: Row) -> str | None:
    """Why a row cannot be promoted, as far as the leaderboard says; None where nothing speaks against it."""
    if row["architecture"] == EXTERNAL:
        return "samples from elsewhere have no generator to promote"
    if row["demotion"]:
        return f"it ranks behind for its samples: {row['demoted_for']}"
    if row["stale"]:
        return str(row["stale"])
    return "no FID was measured" if is_missing(row[RANKED_BY]) else None


def datasets_with_rows(store: Store, leaderboard: Manifest) -> list[str]:
    """The datasets of which a row might be promoted."""
    rows = read_leaderboard(store, leaderboard).to_dict("records")
    return sorted({row["dataset"] for row in rows if reason_against(row) is None})
