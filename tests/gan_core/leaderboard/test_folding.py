"""Seeds folded into rows, and what stands beside a row."""

import pytest

from gan_core.evaluation.metrics import METRICS
from gan_core.leaderboard.folding import fold, folded_rows, pairs_tested, ranked
from gan_core.leaderboard.rows import Entry
from gan_core.leaderboard.training_figures import IN_TABLES

FIGURES = [figure for metric in METRICS.values() for figure in metric.all_figures]


def entry(name, group=None, seed=0, demotion=0, spaces=None, notes=(), **values):
    described = dict.fromkeys(("dataset", "architecture", "objective", "conditioning", "protocol"), "same")
    own = {
        **dict.fromkeys(FIGURES),
        **described,
        **dict.fromkeys(IN_TABLES, 1.0),
        "tags": "",
        "verdict": "healthy",
    }
    values = {**own, "experiment": name, "seed": seed, **values}
    return Entry(values, group or name, demotion, tuple(notes), spaces or {})


def rows_of(*entries, **options):
    return {row["experiment"]: row for row in folded_rows(ranked(fold(entries), **options))}


def test_seeds_fold_by_their_group_and_are_called_by_what_they_share():
    grid = [entry(f"cats-seed-{seed}", "cats", seed, fid=float(seed)) for seed in (2, 0, 1)]
    others = [entry("first-try", "dogs", 7, fid=1.0), entry("first-tries", "dogs", 8, fid=2.0)]
    rows = rows_of(*grid, *others, entry("alone", fid=3.0))
    assert set(rows) == {"cats", "first-tr", "alone"}
    assert rows["cats"]["members"] == "cats-seed-0 cats-seed-1 cats-seed-2"
    assert (rows["cats"]["seeds"], rows["cats"]["fid"]) == (3, 1.0)


def test_two_configurations_never_share_a_name():
    first = [entry(f"cats-seed-{seed}", "first", seed, fid=1.0) for seed in (0, 1)]
    second = [entry(f"cats-seed-{seed}", "second", seed, fid=1.0) for seed in (2, 3)]
    assert set(rows_of(*first, *second)) == {"cats-seed-0", "cats-seed-2"}


def test_one_training_under_two_names_is_one_seed():
    row = rows_of(entry("a-1", "a", 0, fid=4.0), entry("a-2", "a", 0, fid=4.0))["a"]
    assert row["seeds"] == 1 and row["note"].startswith("one seed: spread unknown")
    assert row["members"] == "a-1 a-2"


def test_the_verdict_counts_its_seeds():
    seeds = [entry(f"a-seed-{seed}", "a", seed, fid=1.0) for seed in (0, 1)]
    seeds.append(entry("a-seed-2", "a", 2, fid=1.0, verdict="mode collapse"))
    assert rows_of(*seeds)["a"]["verdict"] == "healthy (2 of 3); mode collapse (1 of 3)"


def test_what_is_called_an_impostor_ranks_behind_all_others():
    rows = rows_of(
        entry("honest", fid=20.0),
        entry("narrow", fid=5.0, demotion=1),
        entry("copier", fid=0.1, demotion=2, notes=["98% of the samples are copies"]),
    )
    assert [rows[name]["rank"] for name in ("honest", "narrow", "copier")] == [1, 2, 3]
    assert "98% of the samples are copies" in rows["copier"]["note"]


@pytest.mark.parametrize(("failing", "rank"), [(1, 1), (2, 2)])
def test_a_configuration_fails_where_half_of_its_seeds_do(failing, rank):
    seeds = [
        entry(f"a-seed-{seed}", "a", seed, fid=1.0, demotion=2 if seed < failing else 0) for seed in range(3)
    ]
    rows = rows_of(*seeds, *[entry(f"b-seed-{seed}", "b", seed, fid=1.0 + seed / 10) for seed in range(3)])
    assert rows["a"]["rank"] == rank


def test_a_row_says_why_it_ranks_behind():
    """Of its seeds only where the row itself is demoted."""
    rows = rows_of(
        entry("a-0", "a", 0, 2, fid=1.0, demoted_for="repeats images, drops classes"),
        entry("a-1", "a", 1, 2, fid=1.0, demoted_for="drops classes"),
        entry("b-0", "b", 0, 2, fid=2.0, demoted_for="repeats images"),
        *(entry(f"b-{seed}", "b", seed, fid=2.0) for seed in (1, 2)),
    )
    found = {row["members"]: (row["demotion"], row["demoted_for"]) for row in rows.values()}
    assert found == {"a-0 a-1": (2, "repeats images, drops classes"), "b-0 b-1 b-2": (0, "")}


def test_another_space_that_disagrees_is_named():
    """Only where the table has an order: rows of one rank say nothing that could be disagreed with."""
    rows = rows_of(
        entry("a", fid=1.0, fid_low=0.9, fid_high=1.1, spaces={"inception": 9.0}),
        entry("b", fid=5.0, fid_low=4.9, fid_high=5.1, spaces={"inception": 3.0}),
        entry("c", fid=9.0, fid_low=8.9, fid_high=9.1, spaces={"inception": 12.0}),
    )
    assert [rows[name]["rank"] for name in "abc"] == [1, 2, 3]
    assert "by inception behind b" in rows["a"]["note"]
    assert "behind" not in rows["b"]["note"] + rows["c"]["note"]


def test_a_note_names_few_rows_and_counts_many():
    """As many rows as there are, each naming all others, would be a page that nobody can read."""
    seeds = [
        entry(f"g{n}-seed-{s}", f"g{n}", s, fid=10.0 + n + s * (n + 1)) for n in range(9) for s in (0, 1)
    ]
    row = rows_of(*seeds, entry("alone", fid=1.0, fid_low=0.9, fid_high=1.1, fwd=50.0))["alone"]
    assert "known of others: ± 0.7071 to ± 6.36 in 9 rows" in row["note"]
    ordered = [
        entry(f"r{n}", fid=float(n), fid_low=n - 0.1, fid_high=n + 0.1, spaces={"inception": 99.0 - n})
        for n in range(1, 9)
    ]
    assert "by inception behind r2, r3, r4 and 4 more" in rows_of(*ordered)["r1"]["note"]


def test_tags_of_all_seeds_stand_once():
    assert rows_of(entry("a-1", "a", 0, tags="x y"), entry("a-2", "a", 1, tags="y z"))["a"]["tags"] == "x y z"


def test_the_tests_that_ranks_stand_on_are_told():
    table = ranked(
        fold(
            [
                entry("a", fid=1.0, fid_low=0.9, fid_high=1.1),
                entry("b", fid=5.0, fid_low=4.9, fid_high=5.1),
                entry("c", fid=5.1, fid_low=4.9, fid_high=5.3),
                entry("copier", fid=0.1, fid_low=0.09, fid_high=0.11, demotion=2),
                entry("unknown", fid=9.0),
            ]
        )
    )
    pairs = {(row["experiment"], row["other"]): row for row in pairs_tested(table)}
    assert pairs["a", "b"]["test"] == "intervals" and pairs["a", "b"]["shown"]
    assert not pairs["b", "c"]["shown"] and pairs["b", "c"]["p_corrected"] >= pairs["b", "c"]["p"] > 0.05
    assert pairs["a", "copier"]["p_corrected"] is None and not pairs["a", "copier"]["shown"]
    assert not any("unknown" in pair for pair in pairs)
