"""What holds a promotion back: each check with what it found, in words and by which figure."""

from gan_core.champions.challenger import Challenger
from gan_core.champions.looks import Check
from gan_core.champions.standings import Side
from gan_core.comparing.figures import has_failed
from gan_core.errors import EvaluationError, StoreError
from gan_core.evaluation.figures import FIGURES
from gan_core.evaluation.protocol import require_comparable
from gan_core.evaluation.statistics.comparing import LEVEL, TESTS, beats, pair_tests
from gan_core.leaderboard.folding import RANKED_BY
from gan_core.leaderboard.tables import with_interval
from gan_core.store import Store

SAME_PROTOCOL, BETTER, SOUND, FINITE = "same_protocol", "better", "sound_samples", "finite_weights"
CHECKS = (SAME_PROTOCOL, BETTER, SOUND, FINITE)


def run_checks(
    store: Store, challenger: Challenger, champion: Side | None, *, force: bool = False
) -> list[Check]:
    """All of them, in the order of `CHECKS`. `champion`: today's, None where there is none. With `force` a
    champion of another protocol does not hold the challenger back."""
    ours = challenger.side
    difference = champion and _difference_of_protocols(ours, champion)
    compared = not difference or force
    return [
        Check(SAME_PROTOCOL, compared, _protocol_in_words(ours, champion, difference, force)),
        _better(ours, None if difference else champion) if compared else _not_compared(),
        _sound_samples(challenger),
        _finite_weights(store, challenger),
    ]


def _difference_of_protocols(challenger: Side, champion: Side) -> str | None:
    named = {
        f"{challenger.row} (challenger)": challenger.protocol,
        f"{champion.row} (champion)": champion.protocol,
    }
    try:
        require_comparable(named)
    except EvaluationError as error:
        return str(error)
    return None


def _protocol_in_words(challenger: Side, champion: Side | None, difference: str | None, force: bool) -> str:
    if champion is None:
        return "there is no champion to compare with"
    if difference is None:
        return challenger.protocol
    if force:
        return f"{difference} (left out: force)"
    return f"{difference}: evaluate {champion.row} by today's settings, or promote with force"


def _not_compared() -> Check:
    return Check(BETTER, False, "not compared: figures by different protocols say nothing of each other")


def _better(challenger: Side, champion: Side | None) -> Check:
    """Not better, or not shown to be: today's champion stays, so that two of a kind do not take turns."""
    if champion is None:
        return Check(BETTER, True, "there is nothing to compare with")
    if champion.demoted_for:
        return Check(BETTER, True, f"{champion.row} ranks behind by now: {champion.demoted_for}")
    ours, theirs = challenger.candidate, champion.candidate
    means = [_mean(side.mean) if side.values else "unknown" for side in (ours, theirs)]
    pair = f"{FIGURES[RANKED_BY].label} {means[0]} of {challenger.row} against {means[1]} of {champion.row}"
    if not theirs.values or not ours.mean < theirs.mean:
        return Check(BETTER, False, f"{pair}: not lower; {champion.row} stays")
    by, p = pair_tests([ours, theirs]).by[0, 1], beats(ours, theirs)
    if not by:
        return Check(BETTER, False, f"{pair}: nothing is known that would tell them apart")
    tested = f"{pair}: p = {p:.2g} by {TESTS[by]}"
    if p <= LEVEL:
        return Check(BETTER, True, f"{tested}; that is {LEVEL:g} or less")
    return Check(BETTER, False, f"{tested}; above {LEVEL:g} nothing is shown, and {champion.row} stays")


def _mean(value: float) -> str:
    return FIGURES[RANKED_BY].write(value)


def _sound_samples(challenger: Challenger) -> Check:
    """Rows that are demoted are no challengers: here a seed's own verdict counts, that of the guards too."""
    seed = challenger.seed
    against = ", ".join(filter(None, (seed["demoted_for"], seed["verdict"])))
    sound = not seed["demotion"] and not has_failed(seed["verdict"])
    figures = f"{FIGURES[RANKED_BY].label} {with_interval(RANKED_BY, seed)}"
    return Check(SOUND, sound, f"{challenger.experiment}: {against} ({figures})")


def _finite_weights(store: Store, challenger: Challenger) -> Check:
    import torch

    from gan_core.sampling import load_generator

    try:
        weights = load_generator(store, challenger.chain["trained_gan"]).state_dict()
    except StoreError as error:
        return Check(FINITE, False, f"they do not load: {error}")
    bad = [name for name, values in weights.items() if not torch.isfinite(values).all()]
    count = sum(values.numel() for values in weights.values())
    if bad:
        return Check(
            FINITE, False, f"{', '.join(bad)} of {challenger.experiment} holds values that are not finite"
        )
    return Check(FINITE, True, f"{count:,} values of {challenger.experiment}, all finite")
