"""Promoting a champion, and going back to the one before."""

import datetime
import logging
import shutil
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from gan_core.bundles.export import export_bundle
from gan_core.champions.address import BUNDLE, bundle_of
from gan_core.champions.challenger import Challenger, find_challenger
from gan_core.champions.checks import BETTER, run_checks
from gan_core.champions.looks import Check, Look, write_look
from gan_core.champions.reigns import ASSET, champion_of, history, reign_of, standing, taken_back
from gan_core.champions.standings import Side, Standings, figures_of
from gan_core.config import Configs
from gan_core.errors import DamagedError, StoreError
from gan_core.evaluation.evidence import read_evidence
from gan_core.leaderboard.folding import TESTED_BY
from gan_core.steps import Step
from gan_core.store import Build, Manifest, Store
from gan_core.store.lease import Lease
from gan_core.store.reading import reading

logger = logging.getLogger("gan_core")
BY_HAND = "taken back by hand"


def promote(
    store: Store,
    configs: Configs,
    dataset: str,
    leaderboard: Manifest,
    *,
    force: bool = False,
    emit: Callable[[str], None] = logger.info,
) -> Look:
    """Promote the best of a dataset on this leaderboard where it passes all checks; else nothing changes.

    With `force` neither another protocol of today's champion nor that a training was taken back holds it
    back, and a damaged record of today's champion begins a new history; the other checks have to be passed
    all the same. What was found can be read by `looks.last_look` as well.
    """
    configs.dataset(dataset)
    with Lease(store, ASSET, dataset, "", emit, reads=[leaderboard]) as lease:
        look = _look(store, configs, dataset, leaderboard, force, lease, emit)
        write_look(store, dataset, look)
    emit(f"{dataset}: {look.reason}")
    return look


def go_back(
    store: Store, dataset: str, reason: str = BY_HAND, *, emit: Callable[[str], None] = logger.info
) -> Manifest:
    """Let the champion before today's be the champion again, by the bundle that it had then.

    Today's is not promoted again without `force`, until it is trained anew. Raises `StoreError` where there
    is none before it, or where its bundle is damaged or gone; then nothing has changed.
    """
    with Lease(store, ASSET, dataset, "", emit) as lease:
        today = champion_of(store, dataset)
        reigns = standing(history(today))
        if len(reigns) < 2:
            raise StoreError(
                f"{dataset} had no champion before {reigns[-1].experiment}: there is no way back"
            )
        before = reigns[-2]
        bundle = store.read_manifest(ASSET, dataset, before.fingerprint)
        if bundle is None:
            raise StoreError(
                f"{ASSET}/{dataset}/{before.fingerprint}, the champion before, is no longer in {store.url}"
            )

        def build(work: Build) -> None:
            for name in bundle.files:
                target = work.folder / name
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(store.local(bundle, name), target)
            lease.check()
            work.figures = dict(bundle.figures)
            work.details = {**bundle.details, "how": "back", "reason": reason, "history": _records(today)}

        config = {"experiment": before.experiment, "back_to": before.fingerprint}
        champion = Step(ASSET, dataset, config, {f"{ASSET}/{dataset}": today}).make(store, build)
    emit(f"{dataset}: {before.experiment} is the champion again, as {reigns[-1].experiment} was taken back")
    return champion


# --- inside -----------------------------------------------------------------------------------------------


def _look(
    store: Store,
    configs: Configs,
    dataset: str,
    leaderboard: Manifest,
    force: bool,
    lease: Lease,
    emit: Callable[[str], None],
) -> Look:
    today = _today(store, dataset, force, emit)
    not_again = taken_back(history(today)) if today and not force else frozenset()
    standings = Standings.read(store, leaderboard, dataset)
    challenger, passed_over = find_challenger(standings, configs, dataset, not_again)
    at = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    if challenger is None:
        return Look(at, False, _nobody(dataset, passed_over), passed_over=passed_over)
    found = {"experiment": challenger.experiment, "row": challenger.row["experiment"]}
    is_champion = today is not None and standings.has(challenger.row, reign_of(today).training)
    if is_champion and not (problems := store.problems(today, hashes=True)):
        reason = f"{reign_of(today).experiment} is the champion already"
        return Look(at, False, reason, **found, passed_over=passed_over)
    if is_champion:
        emit(f"{dataset}: the bundle of its champion is damaged and made again: {'; '.join(problems)}")
    champion = _champion_side(store, standings, challenger, today) if today and not is_champion else None
    checks = tuple(run_checks(store, challenger, champion, force=force))
    failed = "; ".join(f"{check.name}: {check.found}" for check in checks if not check.passed)
    if not failed:
        _publish(store, dataset, challenger, checks, today, lease, emit)
    told = f"is refused by {failed}" if failed else "is the new champion"
    return Look(
        at, not failed, f"{challenger.experiment} {told}", **found, checks=checks, passed_over=passed_over
    )


def _today(store: Store, dataset: str, force: bool, emit: Callable[[str], None]) -> Manifest | None:
    try:
        return store.current(ASSET, dataset)
    except DamagedError as error:
        if not force:
            raise DamagedError(f"{error} (with force a new history of champions begins)") from error
        emit(f"a new history of champions begins: {error}")
        return None


def _nobody(dataset: str, passed_over: dict[str, str]) -> str:
    rows = "; ".join(f"{row}: {reason}" for row, reason in passed_over.items())
    return f"no row of {dataset} on the leaderboard can be promoted{f' ({rows})' if rows else ''}"


def _champion_side(store: Store, standings: Standings, challenger: Challenger, today: Manifest) -> Side:
    """Today's champion as it stands in the challenger's table, with the seeds that it has by now; else as it
    was promoted."""
    reign = reign_of(today)
    for row in standings.rows:
        if row["protocol"] == challenger.side.protocol and standings.has(row, reign.training):
            return standings.side(row)
    with reading(f"{today.asset}/{today.partition}"):
        seeds = tuple(today.details["seeds"])
    evidence = None
    if len(seeds) == 1 and reign.protocol == challenger.side.protocol:
        bundle = bundle_of(store, today)
        evidence = read_evidence(bundle.store, bundle.manifest("evaluation"), TESTED_BY)
    return Side(reign.row, reign.protocol, seeds, evidence)


def _publish(
    store: Store,
    dataset: str,
    challenger: Challenger,
    checks: tuple[Check, ...],
    today: Manifest | None,
    lease: Lease,
    emit: Callable[[str], None],
) -> Manifest:
    chain = challenger.chain
    better = next(check for check in checks if check.name == BETTER)

    def build(work: Build) -> None:
        export_bundle(store, chain.experiment, chain.dataset, work.folder / BUNDLE, emit=emit)
        lease.check()
        work.figures = figures_of(challenger.row)
        work.details = {
            "experiment": challenger.experiment,
            "row": challenger.row["experiment"],
            "protocol": challenger.side.protocol,
            "training": challenger.training,
            "how": "promoted",
            "reason": better.found,
            "seeds": list(challenger.side.seeds),
            "checks": [asdict(check) for check in checks],
            "history": _records(today) if today else [],
        }

    inputs = {f"{item.asset}/{item.partition}": item for item in chain.artefacts.values()}
    inputs |= {f"{ASSET}/{dataset}": today} if today else {}
    return Step(ASSET, dataset, {"experiment": challenger.experiment}, inputs).make(store, build)


def _records(champion: Manifest) -> list[dict[str, Any]]:
    return [reign.record() for reign in history(champion)]
