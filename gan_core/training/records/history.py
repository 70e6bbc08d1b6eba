"""Losses of a run: summed on the device while it trains, read back one row at a time."""

import math
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor

Row = dict[str, float | int]
# Of a row of losses: how long it took, which is another time of every run of the same training.
TIMES = ("images_per_second", "seconds")


class LossMeter:
    """Means of named scalar tensors since the last reset, kept on the device: adding never waits for it.

    A sum stays in the memory that it got when its name first came, so that a recorded step can add to it.
    """

    def __init__(self):
        self.kept: dict[str, Tensor] = {}
        self.counts: dict[str, int] = {}

    @property
    def sums(self) -> dict[str, Tensor]:
        """Those of the names that came since the last reset, in the order in which they came."""
        return {name: self.kept[name] for name in self.counts}

    def add(self, values: dict[str, Tensor]) -> None:
        self.sum_up(values)
        self.count(values)

    @torch.no_grad()
    def sum_up(self, values: dict[str, Tensor]) -> None:
        """The part of `add` that the device does."""
        added = {name: value.float() for name, value in values.items()}
        for name, value in added.items():
            if name not in self.kept:
                self.kept[name] = torch.zeros_like(value)
        if added:
            torch._foreach_add_([self.kept[name] for name in added], list(added.values()))

    def count(self, names: Iterable[str]) -> None:
        """The part of `add` that the host does."""
        for name in names:
            self.counts[name] = self.counts.get(name, 0) + 1

    def means(self) -> dict[str, float]:
        """The means so far: one transfer from the device for all of them."""
        sums = self.sums
        if not sums:
            return {}
        values = torch.stack(list(sums.values())).tolist()
        return {name: value / self.counts[name] for name, value in zip(sums, values, strict=True)}

    def reset(self) -> None:
        for total in self.kept.values():
            total.zero_()
        self.counts = {}

    def state_dict(self) -> dict:
        return {"sums": self.sums, "counts": dict(self.counts)}

    def load_state_dict(self, state: dict, device: torch.device) -> None:
        self.kept = {name: value.to(device, copy=True) for name, value in state["sums"].items()}
        self.counts = {name: state["counts"][name] for name in self.kept}


def not_finite(losses: dict[str, float]) -> list[str]:
    """The names of the losses that are NaN or infinite."""
    return [name for name, value in losses.items() if not math.isfinite(value)]


def without_times(rows: list[Row]) -> list[Row]:
    """What the same training gives again."""
    return [{name: value for name, value in row.items() if name not in TIMES} for row in rows]


def times_of(rows: list[Row]) -> list[Row]:
    """images_seen, images_per_second and seconds of each row."""
    return [{name: row[name] for name in ("images_seen", *TIMES)} for row in rows]


def write_rows(rows: list[Row], path: Path) -> None:
    """Rows as Parquet with one column per name: images_seen, and what else was recorded in this run."""
    import pandas  # seconds that no training waits for at its start

    pandas.DataFrame(rows).to_parquet(path, index=False)
