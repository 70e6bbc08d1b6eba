"""Losses of a run: summed on the device while it trains, read back one row at a time."""

import math
from pathlib import Path

import torch
from torch import Tensor

Row = dict[str, float | int]
# Of a row of losses: how long it took, which is another time of every run of the same training.
TIMES = ("images_per_second", "seconds")


class LossMeter:
    """Means of named scalar tensors since the last reset, kept on the device: adding never waits for it."""

    def __init__(self):
        self.sums: dict[str, Tensor] = {}
        self.counts: dict[str, int] = {}

    def add(self, values: dict[str, Tensor]) -> None:
        for name, value in values.items():
            value = value.detach().float()
            # A copy: what is added may be memory that the next step writes again.
            self.sums[name] = self.sums[name] + value if name in self.sums else value.clone()
            self.counts[name] = self.counts.get(name, 0) + 1

    def means(self) -> dict[str, float]:
        """The means so far: one transfer from the device for all of them."""
        if not self.sums:
            return {}
        values = torch.stack(list(self.sums.values())).tolist()
        return {name: value / self.counts[name] for name, value in zip(self.sums, values, strict=True)}

    def reset(self) -> None:
        self.sums, self.counts = {}, {}

    def state_dict(self) -> dict:
        return {"sums": dict(self.sums), "counts": dict(self.counts)}

    def load_state_dict(self, state: dict, device: torch.device) -> None:
        self.sums = {name: value.to(device) for name, value in state["sums"].items()}
        self.counts = dict(state["counts"])


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
