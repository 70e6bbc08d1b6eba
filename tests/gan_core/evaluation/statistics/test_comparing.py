import numpy as np
import pytest
from scipy import stats

from gan_core.evaluation.statistics.comparing import (
    TESTS,
    Candidate,
    beats,
    holm,
    holm_adjusted,
    pair_tests,
    ranks,
    relative_mmd,
    seed_difference,
)


def kernel(x, y):
    return (x @ y.T / x.shape[1] + 1) ** 3


def evidence(x, z):
    """The evidence of KID, straight from its definition."""
    own = kernel(x, x)
    np.fill_diagonal(own, 0)
    cross = kernel(x, z)
    return {"own": own.sum(axis=1) / (len(x) - 1), "cross": cross.mean(axis=1), "real": cross.mean(axis=0)}


def normal(count, seed, offset=0.0, dimensions=4):
    return np.random.RandomState(seed).normal(offset, 1, (count, dimensions))


def seeds(*values):
    return Candidate(dict(enumerate(values)))


# --- relative MMD -----------------------------------------------------------------------------------------


def of_pair(a, b):
    difference, variance = relative_mmd([a, b])
    return difference[0, 1], variance[0, 1]


def nearer(a, b):
    """The one-sided p-value of "a's samples are nearer", which figures of one seed each are tested by."""
    return beats(Candidate({0: 1.0}, evidence=a), Candidate({0: 2.0}, evidence=b))


def unbiased_mmd(x, z):
    total = {}
    for name, a, b in (("xx", x, x), ("zz", z, z)):
        matrix = kernel(a, b)
        total[name] = (matrix.sum() - np.trace(matrix)) / (len(a) * (len(a) - 1))
    return total["xx"] + total["zz"] - 2 * kernel(x, z).mean()


def test_the_difference_is_that_of_two_unbiased_mmds():
    x, y, z = normal(80, 0, 0.3), normal(60, 1, 0.5), normal(70, 2)
    difference, _ = of_pair(evidence(x, z), evidence(y, z))
    assert difference == pytest.approx(unbiased_mmd(x, z) - unbiased_mmd(y, z), rel=1e-10)


def test_the_variance_is_that_of_the_paper():
    # Bounliphone et al. 2016, for sets of one size: 4/n times the variance over triples (x, y, z) of the mean
    # kernel of the difference's U-statistic.
    count = 1500
    x, y, z = normal(count, 0, 0.4), normal(count, 1, 0.6), normal(count, 2)
    xz, yz = kernel(x, z), kernel(y, z)
    of_triples = kernel(x, x) - kernel(y, y) - xz - xz.T + yz + yz.T
    np.fill_diagonal(of_triples, 0)
    expected = 4 / count * (of_triples.sum(axis=1) / (count - 1)).var(ddof=1)
    _, variance = of_pair(evidence(x, z), evidence(y, z))
    # Theirs has the covariances of the triples' independent parts, which are noise about zero.
    assert variance == pytest.approx(expected, rel=0.1)


def test_the_better_one_is_the_nearer_one():
    z = normal(300, 0)
    near, far = evidence(normal(300, 1, 0.2), z), evidence(normal(300, 2, 0.6), z)
    assert nearer(near, far) < 1e-4
    assert nearer(far, near) == pytest.approx(1 - nearer(near, far))


@pytest.mark.parametrize("offset", [0.0, 0.4])
def test_its_size_is_at_most_five_percent_and_not_far_below_where_both_are_wrong(offset):
    trials = 400
    p = []
    for trial in range(trials):
        z = normal(100, 3 * trial)
        a, b = (evidence(normal(100, 3 * trial + i, offset), z) for i in (1, 2))
        p.append(nearer(a, b))
    share = np.mean(np.array(p) < 0.05)
    # 0.05 and four standard errors of 400 trials; near the real images the variance is an upper bound.
    assert share < 0.094
    assert offset == 0 or share > 0.006


def test_it_has_power():
    found = []
    for trial in range(60):
        z = normal(150, 3 * trial)
        a, b = evidence(normal(150, 3 * trial + 1, 0.2), z), evidence(normal(150, 3 * trial + 2, 0.5), z)
        found.append(nearer(a, b) < 0.05)
    assert np.mean(found) > 0.9


# --- seeds ------------------------------------------------------------------------------------------------


def test_seeds_that_both_have_are_paired():
    a, b = seeds(4.0, 5.0, 3.5), seeds(4.4, 5.6, 3.9)
    expected = stats.ttest_rel([4.0, 5.0, 3.5], [4.4, 5.6, 3.9], alternative="less").pvalue
    assert beats(a, b) == pytest.approx(expected)
    assert expected < 0.01 < stats.ttest_ind([4.0, 5.0, 3.5], [4.4, 5.6, 3.9], equal_var=False).pvalue
    assert beats(b, a) == 1.0


def test_other_seeds_are_compared_by_welch():
    a, b = Candidate({0: 4.0, 1: 5.0, 2: 3.5}), Candidate({3: 7.4, 4: 6.6, 5: 9.9, 2: 7.0})
    expected = stats.ttest_ind([4, 5, 3.5], [7.4, 6.6, 9.9, 7.0], equal_var=False, alternative="less").pvalue
    assert beats(a, b) == pytest.approx(expected)


def test_one_seed_is_measured_by_the_spread_of_the_others():
    found = beats(seeds(4.0, 4.4, 4.2), Candidate({7: 9.0}))
    deviation = np.std([4.0, 4.4, 4.2], ddof=1) * np.sqrt(1 + 1 / 3)
    assert found == pytest.approx(stats.t.cdf((4.2 - 9.0) / deviation, 2))


def test_seeds_without_any_spread_are_no_proof():
    assert beats(Candidate({0: 4.0, 1: 4.0}), Candidate({2: 5.0, 3: 5.0})) == 1.0
    # Differences that are all the same are judged by the spread of either side, not taken for certain.
    apart = stats.ttest_ind([4.0, 5.0], [4.5, 5.5], equal_var=False, alternative="less").pvalue
    assert beats(seeds(4.0, 5.0), seeds(4.5, 5.5)) == pytest.approx(apart)


def test_each_pair_of_a_table_is_tested_by_what_is_known_of_both():
    z = normal(60, 0)
    one, other = (
        Candidate({0: value}, None, evidence(normal(60, n, 0.3 * n), z)) for n, value in ((1, 2.0), (2, 3.0))
    )
    several, more, elsewhere = seeds(4.0, 5.0, 3.5), seeds(4.4, 5.6, 3.9), Candidate({8: 7.0, 9: 7.7})
    measured = Candidate({5: 6.0}, (5.0, 7.0)), Candidate({5: 8.0}, (7.5, 8.5))
    rows = [one, other, several, more, elsewhere, *measured, Candidate()]
    found = pair_tests(rows)
    assert found.by[0, 1] == "mmd" and found.by[5, 6] == "intervals" and found.by[0, 2] == "one_seed"
    assert found.by[2, 3] == "paired" and found.by[2, 4] == "welch"
    assert set(found.by.ravel()) == {"", *TESTS}
    assert np.isnan(found.p[0, 5])  # one has evidence, the other an interval
    assert found.p[2, 3] == pytest.approx(stats.ttest_rel([4.0, 5.0, 3.5], [4.4, 5.6, 3.9]).pvalue)
    assert np.isnan(found.p[:, 7]).all() and np.isnan(np.diag(found.p)).all()
    for i, j in ((i, j) for i in range(7) for j in range(7) if rows[i].mean < rows[j].mean):
        expected = np.nan if np.isnan(found.p[i, j]) else min(2 * beats(rows[i], rows[j]), 1.0)
        assert found.p[i, j] == pytest.approx(expected, nan_ok=True)
    assert np.allclose(found.p, found.p.T, equal_nan=True)


def test_a_large_table_is_tested_as_its_pairs_are(monkeypatch):
    """In parts of few rows, as a table that does not fit into memory."""
    numbers = np.random.RandomState(1)
    rows = [
        Candidate({int(seed): value for seed, value in enumerate(numbers.normal(9, 2, 6)) if seed != row % 6})
        for row in range(9)
    ]
    whole = pair_tests(rows)
    monkeypatch.setattr("gan_core.evaluation.statistics.comparing.MOST_DIFFERENCES", 1)
    assert np.array_equal(pair_tests(rows).p, whole.p, equal_nan=True)
    for i, j in ((0, 1), (4, 8), (2, 7)):
        first, second = (
            {s: v for s, v in rows[n].values.items() if s in rows[m].values} for n, m in ((i, j), (j, i))
        )
        expected = stats.ttest_rel([first[s] for s in sorted(first)], [second[s] for s in sorted(first)])
        same_way = (rows[i].mean < rows[j].mean) == (expected.statistic < 0)
        assert whole.p[i, j] == pytest.approx(expected.pvalue if same_way else 1.0)


def test_an_uncertain_figure_is_no_advantage():
    """No test shows that the last one is worse than the first: it still ranks behind the second."""
    near = Candidate({0: 3.0, 1: 2.9, 2: 3.1})
    shown = Candidate({0: 3.5, 1: 3.41, 2: 3.62})
    wild = Candidate({0: 10.0, 1: 30.0, 2: 55.0})
    found = ranks([wild, near, shown])
    assert found[1] == 1 and found[0] >= found[2] >= 1


def test_candidates_stand_behind_those_that_fail_less():
    rows = [Candidate({0: 0.1}, failed=2), Candidate({0: 5.0}, failed=1), Candidate({0: 90.0}), Candidate({})]
    assert ranks(rows) == [3, 2, 1, 4]


def test_one_seed_each_is_compared_by_evidence_then_by_intervals_then_not_at_all():
    z = normal(300, 0)
    near, far = evidence(normal(300, 1, 0.2), z), evidence(normal(300, 2, 0.6), z)
    a, b = Candidate({0: 3.0}, (2.8, 3.2), near), Candidate({0: 4.0}, (3.5, 4.5), far)
    difference, variance = of_pair(near, far)
    assert beats(a, b) == pytest.approx(stats.norm.cdf(difference / np.sqrt(variance)))
    # The kernel's order is no proof where the figure's is the other way round.
    assert beats(Candidate({0: 4.1}, None, near), b) == 1.0
    without = Candidate({0: 4.0}, (3.5, 4.5))
    error = np.hypot(0.4, 1.0) / (2 * 1.959964)
    assert beats(a, without) == pytest.approx(stats.norm.cdf(-1 / error), rel=1e-4)
    other_real = Candidate({0: 4.0}, (3.5, 4.5), {**far, "real": far["real"][:-1]})
    assert beats(a, other_real) == beats(a, without)
    assert beats(a, Candidate({0: 4.0})) == 1.0
    assert beats(a, Candidate()) == beats(Candidate(), a) == 1.0


# --- ranks ------------------------------------------------------------------------------------------------


def test_holm_is_the_step_down_procedure():
    assert holm([0.01, 0.04, 0.03, 0.005]) == [True, False, False, True]
    assert holm([0.02, 0.03]) == [True, True]
    assert holm([0.03, 0.04]) == [False, False]
    assert holm([]) == []


def test_rows_that_cannot_be_told_apart_share_a_rank():
    good = Candidate({0: 3.0, 1: 3.1, 2: 3.05})
    also = Candidate({3: 3.02, 4: 3.12, 5: 3.0})
    bad = Candidate({6: 9.0, 7: 9.2, 8: 9.1})
    assert ranks([bad, good, also]) == [3, 1, 1]


def test_what_is_luck_in_a_table_of_many_gives_no_rank():
    # Each of the nine is one of one distribution, and the least two-sided p-value of all is 0.007.
    numbers = np.random.RandomState(0)
    table = [
        Candidate(dict(zip(range(5 * i, 5 * i + 5), numbers.normal(5, 1, 5), strict=True))) for i in range(9)
    ]
    least = min(beats(a, b) for a in table for b in table if a is not b)
    assert least < 0.005
    assert ranks(table) == [1] * 9


def test_tables_of_equals_have_a_wrong_order_in_at_most_five_percent():
    numbers = np.random.RandomState(0)
    wrong = 0
    for _ in range(150):
        values = numbers.normal(5, 1, (5, 4))
        table = [Candidate({(i, j): value for j, value in enumerate(row)}) for i, row in enumerate(values)]
        wrong += ranks(table) != [1] * 5
    # 0.05 and four standard errors.
    assert wrong / 150 < 0.121


def test_failed_candidates_stand_behind_all_others_and_empty_ones_last():
    honest, worse = Candidate({0: 9.0}, (8.8, 9.2)), Candidate({0: 12.0}, (11.8, 12.2))
    impostor = Candidate({0: 0.5}, (0.4, 0.6), failed=True)
    other = Candidate({0: 0.9}, (0.8, 1.0), failed=True)
    assert ranks([impostor, Candidate(), worse, honest, other, Candidate()]) == [3, 5, 2, 1, 4, 5]
    assert ranks([]) == []
    assert ranks([Candidate()]) == [1]


# --- differences over seeds -------------------------------------------------------------------------------


def by_seed(*values):
    return dict(enumerate(values))


def test_the_difference_over_common_seeds_is_that_of_the_paired_t_test():
    a, b = [3.0, 5.5, 4.0, 6.5], [4.0, 6.0, 5.5, 7.0]
    found, expected = seed_difference(by_seed(*a), by_seed(*b)), stats.ttest_rel(a, b)
    low, high = expected.confidence_interval(0.95)
    assert found.paired and found.mean == pytest.approx((low + high) / 2)
    assert (found.p, found.degrees) == (pytest.approx(expected.pvalue), 3)
    assert found.least_seen(0.05) == pytest.approx((high - low) / 2)


def test_the_difference_without_common_seeds_is_that_of_welch():
    a, b = [3.0, 5.5, 4.0], [7.0, 6.0, 9.5, 8.0]
    found = seed_difference(dict(zip((0, 1, 2), a, strict=True)), dict(zip((5, 6, 7, 8), b, strict=True)))
    expected = stats.ttest_ind(a, b, equal_var=False)
    low, high = expected.confidence_interval(0.95)
    assert not found.paired and found.p == pytest.approx(expected.pvalue)
    assert found.degrees == pytest.approx(expected.df)
    assert found.least_seen(0.05) == pytest.approx((high - low) / 2)


def test_the_least_difference_is_where_the_test_begins_to_show_one():
    spread = np.array([0.3, -0.5, 0.1, 0.9])
    least = seed_difference(by_seed(*spread), by_seed(0, 0, 0, 0)).least_seen(0.01)
    moved = spread - spread.mean() + least
    assert seed_difference(by_seed(*moved), by_seed(0, 0, 0, 0)).p == pytest.approx(0.01, rel=1e-6)


def test_where_seeds_say_nothing_there_is_no_difference_to_test():
    assert seed_difference(by_seed(1.0), by_seed(2.0, 3.0)) is None
    assert seed_difference(by_seed(1.0, 1.0), by_seed(2.0, 2.0)) is None


def test_adjusted_p_values_are_rejected_as_by_holm():
    p_values = [0.01, 0.04, 0.03, 0.005]
    # Holm 1979: 4 x 0.005, 3 x 0.01, 2 x 0.03, and 0.04, which may not be below the one before.
    assert holm_adjusted(p_values) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    numbers = np.random.RandomState(0)
    for _ in range(50):
        p_values = list(numbers.uniform(0, 0.1, numbers.randint(1, 9)))
        assert [p <= 0.05 for p in holm_adjusted(p_values)] == holm(p_values, 0.05)
