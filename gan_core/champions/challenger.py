"""Who is to be promoted: of the best row of a leaderboard that nothing speaks against, the best seed."""

from dataclasses import dataclass

from gan_core.bundles.export import Chain, chain_of
from gan_core.champions.standings import Row, Side, Standings, reason_against
from gan_core.comparing.figures import has_failed
from gan_core.config import Configs
from gan_core.errors import GanError
from gan_core.remedies import how_to_make


@dataclass(frozen=True)
class Challenger:
    """`seed`: the row of the table of seeds of the one training that would be the champion; `chain`: what its
    evaluation stands on; `row`, `side`: the configuration that it is a seed of, by which it is compared."""

    row: Row
    seed: Row
    side: Side
    chain: Chain

    @property
    def experiment(self) -> str:
        return self.chain.experiment.name

    @property
    def training(self) -> str:
        return self.chain["trained_gan"].version


def find_challenger(
    standings: Standings, configs: Configs, dataset: str, taken_back: frozenset[str] = frozenset()
) -> tuple[Challenger | None, dict[str, str]]:
    """The challenger, and the rows before it that cannot be promoted, each with the reason.

    Its row is measured by the dataset's settings of today, and so by one protocol. `taken_back`: trainings
    that are passed over.
    """
    passed_over: dict[str, str] = {}
    for row in standings.rows:
        found = _challenger(standings, configs, dataset, row, taken_back)
        if isinstance(found, Challenger):
            return found, passed_over
        passed_over[row["experiment"]] = found
    return None, passed_over


def _challenger(
    standings: Standings, configs: Configs, dataset: str, row: Row, taken_back: frozenset[str]
) -> Challenger | str:
    if reason := reason_against(row):
        return reason
    if any(standings.has(row, training) for training in taken_back):
        return "it was the champion and was taken back"
    seeds = [seed for seed in standings.seeds_of(row) if not seed["demotion"]]
    if not seeds:
        return "the leaderboard names no seed of it whose samples nothing speaks against: make it again"
    seed = next((seed for seed in seeds if not has_failed(seed["verdict"])), seeds[0])
    name = seed["experiment"]
    try:
        chain = chain_of(standings.store, configs.experiment(name), configs.dataset(dataset))
    except GanError as error:
        return str(error)
    if standings.version("evaluation", name) != chain["evaluation"].version:
        return f"{name} was evaluated again since the leaderboard was made: {how_to_make('leaderboard', '')}"
    return Challenger(row, seed, standings.side(row), chain)
