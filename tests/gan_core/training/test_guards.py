"""Each guard on records that have its fault and on records that have not."""

from typing import get_args

import numpy as np
import pytest
from scipy.stats import norm

from gan_core.config.experiments import Verdict
from gan_core.evaluation.judging.verdicts import FIGURE_NAMES
from gan_core.training.guards import GUARDS, Finding, never_found, run_guards, verdict_names
from gan_core.training.guards.discriminator_wins import WINNING_ACCURACY, WINNING_PAIRS
from gan_core.training.guards.not_finite import not_finite_finding

HEALTHY_ROW = {
    "d_loss": 1.3,
    "g_loss": 0.8,
    "d_real_accuracy": 0.8,
    "d_fake_accuracy": 0.7,
    "d_gradient_norm": 0.5,
    "g_gradient_norm": 0.2,
}


def history(count: int = 20, **changes) -> list[dict]:
    """Rows 100 steps apart; a change is a value, or a function of the row's number."""
    rows = []
    for number in range(1, count + 1):
        values = {name: value(number) if callable(value) else value for name, value in changes.items()}
        rows.append({"images_seen": number * 6400, "step": number * 100, **HEALTHY_ROW, **values})
    return rows


def evaluations(*fids: float, diversity: float = 0.9, **others: float) -> list[dict]:
    return [
        {"images_seen": 50_000 * number, "fid": fid, "diversity": diversity, **others}
        for number, fid in enumerate(fids, start=1)
    ]


def verdicts(experiment, rows, evaluated=(), **options) -> list[str]:
    return [finding.verdict for finding in run_guards(experiment, rows, list(evaluated), **options)]


def test_every_guard_may_stop_a_run_and_names_its_figure():
    assert set(GUARDS) == set(get_args(Verdict))
    assert set(GUARDS) < set(FIGURE_NAMES)


def test_a_healthy_training(make_experiment):
    assert run_guards(make_experiment(), history(), evaluations(50, 40, 30, 25, 22, 20)) == []
    assert run_guards(make_experiment(), [], []) == []
    assert verdict_names([]) == "healthy"


def test_discriminator_wins(make_experiment):
    rows = history(d_real_accuracy=0.998, d_fake_accuracy=lambda number: 1.0 if number > 15 else 0.7)
    (finding,) = run_guards(make_experiment(), rows, [])
    assert finding.verdict == "discriminator_wins"
    assert finding.figure == 0.998
    assert finding.images_seen == 128_000
    assert "over the last 500 steps D was right on 99.8% of the real and on 100.0%" in finding.text
    assert any("optimizers.discriminator.learning_rate" in key for key in finding.keys)
    assert verdicts(make_experiment(), rows[:17]) == []  # not yet for long enough
    short = [row | {"step": row["step"] // 20} for row in rows]  # twenty rows of five steps
    assert verdicts(make_experiment(), short) == []
    critic = make_experiment(objective={"name": "wasserstein", "gradient_penalty": 10})
    assert verdicts(critic, rows) == []


def test_vanished_and_exploded_gradients(make_experiment):
    vanishing = history(g_gradient_norm=lambda number: 10.0**-number)
    (finding,) = run_guards(make_experiment(), vanishing, [])
    assert finding.verdict == "vanished_gradients"
    assert finding.figure == pytest.approx(1e-15)
    for name in ("d_gradient_norm", "g_gradient_norm"):
        exploding = history(**{name: lambda number: 2.0**number})
        (finding,) = run_guards(make_experiment(), exploding, [])
        assert finding.verdict == "exploded_gradients"
        assert finding.figure == pytest.approx(2.0**15)
        assert f"gradient of {name[0].upper()}" in finding.text
    assert verdicts(make_experiment(), history(g_gradient_norm=lambda number: 1.5**-number)[:10]) == []


def test_a_gradient_that_was_never_there_has_vanished(make_experiment):
    (finding,) = run_guards(make_experiment(), history(g_gradient_norm=0.0), [])
    assert finding.verdict == "vanished_gradients"


def test_one_outlier_is_no_explosion(make_experiment):
    assert verdicts(make_experiment(), history(d_gradient_norm=lambda n: 1e9 if n == 18 else 0.5)) == []


def test_mode_collapse(make_experiment):
    (finding,) = run_guards(make_experiment(), history(), evaluations(90, 80, diversity=0.04))
    assert finding.verdict == "mode_collapse"
    assert "4% as far" in finding.text
    assert verdicts(make_experiment(), history(), evaluations(90, diversity=0.04)) == []  # it may just begin
    recovered = [*evaluations(90, diversity=0.04), *evaluations(80)]
    assert verdicts(make_experiment(), history(), recovered) == []


def test_a_run_that_goes_on_has_not_collapsed_while_its_fid_falls(make_experiment):
    """As demo-acgan begins, which is healthy in the end."""
    begun = [*evaluations(437, diversity=0.06), *evaluations(390, diversity=0.29)]
    assert verdicts(make_experiment(), history(), begun, ended=False) == []
    assert verdicts(make_experiment(), history(), begun) == ["mode_collapse"]
    level = evaluations(400, 399, 398, 397, diversity=0.1)
    assert "mode_collapse" in verdicts(make_experiment(), history(), level, ended=False)
    without_fid = [{"images_seen": row["images_seen"], "diversity": 0.1} for row in level]
    assert verdicts(make_experiment(), history(), without_fid, ended=False) == ["mode_collapse"]


def test_stagnation(make_experiment):
    (finding,) = run_guards(make_experiment(), history(), evaluations(50, 40, 30, 31, 30, 29.9))
    assert finding.verdict == "stagnation"
    assert "30 in the first half of the run (at 150,000 images), 29.9 in the second" in finding.text
    assert verdicts(make_experiment(), history(), evaluations(50, 40, 30, 31, 30)) == []  # too few to say
    without_fid = [{"images_seen": row["images_seen"], "diversity": 0.9} for row in evaluations(*[30] * 9)]
    assert verdicts(make_experiment(), history(), without_fid) == []


def test_the_discriminator_does_not_win_while_the_fid_falls(make_experiment):
    rows = history(d_real_accuracy=1.0, d_fake_accuracy=1.0)
    falling, ended = evaluations(90, 60, 40, 30, 22, 17), evaluations(90, 40, 30, 31, 32, 31)
    assert verdicts(make_experiment(), rows, falling) == []
    assert "discriminator_wins" in verdicts(make_experiment(), rows, ended)
    assert "the in-training FID no longer falls" in run_guards(make_experiment(), rows, ended)[0].text
    assert verdicts(make_experiment(), rows, falling[:2]) == ["discriminator_wins"]  # too few to say
    assert verdicts(make_experiment(), rows, falling[:2], ended=False) == []


def test_of_pairs_the_discriminator_has_to_rank_almost_all_to_win(make_experiment):
    """99% of the pairs, as both accuracies then say, are only 95% of each kind."""
    relativistic = make_experiment(objective={"name": "relativistic", "r1": 1, "r2": 1})
    ranked = history(d_real_accuracy=0.995, d_fake_accuracy=0.995)
    assert verdicts(relativistic, ranked) == []
    assert verdicts(make_experiment(), ranked) == ["discriminator_wins"]
    (finding,) = run_guards(relativistic, history(d_real_accuracy=0.9997, d_fake_accuracy=0.9997), [])
    assert "ranked the real image above the generated one in 99.97% of the pairs, which" in finding.text


def test_the_share_of_pairs_is_that_of_normal_scores_with_the_accuracy():
    scores = np.random.default_rng(0).normal(size=(2, 2_000_000))
    apart = 2 * norm.ppf(WINNING_ACCURACY)
    assert (scores[0] + apart > apart / 2).mean() == pytest.approx(WINNING_ACCURACY, abs=3e-4)
    assert (scores[0] + apart > scores[1]).mean() == pytest.approx(WINNING_PAIRS, abs=1e-4)


def test_a_run_that_stays_near_the_images_has_not_stagnated_at_its_end(make_experiment):
    """As an ACGAN on digits: 0.09 of the untrained FID, and as good by the middle of the run."""
    near = evaluations(438.4, 273.9, 55.2, 34.8, 35.6, 37.0, 36.1, 36.4, fid_untrained=451.4)
    assert verdicts(make_experiment(), history(), near) == []
    (finding,) = run_guards(make_experiment(), history(), near, ended=False)  # a reason to stop it
    assert finding.verdict == "stagnation"
    assert finding.text.endswith("at 8% of the untrained generator's it has come near to the images")
    far = [row | {"fid": 5 * row["fid"], "fid_untrained": 2000.0} for row in near]
    assert verdicts(make_experiment(), history(), [row | {"fid_untrained": 800.0} for row in far]) == [
        "far_from_real",
        "stagnation",
    ]
    assert verdicts(make_experiment(), history(), [row | {"fid_untrained": 800.0} for row in near]) == []


@pytest.mark.parametrize(
    ("changed", "labelled", "total", "reason"),
    [
        ({"stop_on": ["few_classes"]}, False, None, "no classes that could be few: set its `classes`"),
        ({"stop_on": ["few_classes"]}, True, None, None),
        (
            {"stop_on": ["discriminator_wins"], "objective": {"name": "wasserstein", "weight_clip": 1}},
            True,
            None,
            "a critic of objective `wasserstein` is not judged by how often it is right",
        ),
        ({"stop_on": ["discriminator_wins"]}, True, 50_000, None),
        ({"stop_on": ["discriminator_wins"]}, True, 4_000, "it takes 500 steps before the end"),
        ({"stop_on": ["vanished_gradients"], "log_every": 300}, True, 20_000, "it takes 3,000 steps"),
        ({"stop_on": ["stagnation"], "evaluate_every": None}, True, 50_000, None),
        ({"stop_on": ["stagnation"], "evaluate_every": 9_000}, True, 50_000, "it takes 6 evaluations before"),
        ({"stop_on": ["got_worse"], "evaluate_every": 9_000}, True, 50_000, None),
    ],
)
def test_a_verdict_that_can_stop_no_run_is_named(make_experiment, changed, labelled, total, reason):
    experiment = make_experiment(**{"evaluate_every": None, **changed})
    found = never_found(experiment, labelled=labelled, total_images=total)
    if reason is None:
        assert found == {}
    else:
        assert reason in found[experiment.stop_on[0]]


def test_the_classroom_on_bedrooms_is_far_from_real(make_experiment):
    """As recorded: brown clouds after 20,000 of 1,435 photographs, which had been called healthy."""
    classroom = make_experiment(architecture={"name": "dense_dcgan", "width": 32}, batch_size=32)
    rows = evaluations(30.1, 26.0, 22.8, 20.6, 19.0, 18.1, 17.3, 16.7, fid_untrained=34.5)
    (finding,) = run_guards(classroom, history(), rows)
    assert finding.verdict == "far_from_real"
    assert finding.figure == pytest.approx(16.7 / 34.5)
    assert finding.text.startswith("nothing like the images was learned yet: the in-training FID is 16.7")
    assert "48% of the 34.5 that the untrained generator has" in finding.text
    assert finding.text.endswith("it still falls")
    assert "a longer length" in finding.keys and "architecture.name: dcgan" in finding.keys
    level = run_guards(classroom, history(), evaluations(17, 16.8, 17, 16.7, fid_untrained=34.5))
    assert level[0].text.endswith("it no longer falls") and "a longer length" not in level[0].keys
    few = run_guards(classroom, history(), evaluations(16.7, fid_untrained=34.5))
    assert few[0].text.endswith("too few FIDs were measured to say whether it still falls")


def test_what_comes_near_the_data_is_not_far_from_it(make_experiment):
    near = evaluations(90, 60, 40, 30, 22, 17, fid_untrained=100.0)
    assert verdicts(make_experiment(), history(), near) == []
    assert verdicts(make_experiment(), history(), evaluations(90, 60, 40, 30)) == []  # not measured then
    beginning = evaluations(99, 90, 80, 70, fid_untrained=100.0)
    assert verdicts(make_experiment(), history(), beginning, ended=False) == []  # it may still come
    level = evaluations(99, 98, 99, 98, fid_untrained=100.0)
    assert verdicts(make_experiment(), history(), level, ended=False) == ["far_from_real"]


def test_got_worse(make_experiment):
    (finding,) = run_guards(make_experiment(), history(), evaluations(50, 30, 20, 22, 27))
    assert finding.verdict == "got_worse"
    assert finding.figure == pytest.approx(27 / 20)
    assert "was 20 at 150,000 images and is 27 at 250,000, 1.35 times as much" in finding.text
    assert "publish: best" in finding.keys
    assert verdicts(make_experiment(), history(), evaluations(50, 30, 20, 22, 26)) == []  # not above 1.3
    swinging = evaluations(50, 30, 20, 40)
    assert verdicts(make_experiment(), history(), swinging, ended=False) == []
    assert verdicts(make_experiment(), history(), [*swinging, *evaluations(41)], ended=False) == ["got_worse"]
    assert verdicts(make_experiment(publish="best"), history(), swinging) == []  # its last weights go
    assert verdicts(
        make_experiment(publish="best"), history(), [*swinging, *evaluations(41)], ended=False
    ) == ["got_worse"]
    assert verdicts(make_experiment(), history(), evaluations(50)) == []


def test_few_classes(make_experiment):
    classes = {"class_perplexity": 3.1, "real_class_perplexity": 9.9}
    (finding,) = run_guards(make_experiment(), history(), evaluations(50, 30, 20, 12, **classes))
    assert finding.verdict == "few_classes"
    assert finding.figure == pytest.approx(3.1 / 9.9)
    assert (
        "as varied as 3.1 equally frequent ones, and those among real images as 9.9: 31% of it"
        in finding.text
    )
    assert "conditioning: {name: acgan}" in finding.keys
    falling = evaluations(50, 30, 20, 12, **classes)
    assert verdicts(make_experiment(), history(), falling, ended=False) == []  # they may still come
    many = {**classes, "class_perplexity": 8.5}
    assert verdicts(make_experiment(), history(), evaluations(50, 30, 20, 12, **many)) == []
    assert verdicts(make_experiment(), history(), evaluations(50, 30, 20, 12)) == []  # data without classes


def test_nothing_is_advised_that_is_there_already_or_cannot_be(make_experiment):
    collapsed = evaluations(90, 80, diversity=0.04)
    plain, penalised = make_experiment(), make_experiment(objective={"gradient_penalty": 10})
    (of_plain,), (of_penalised,) = (run_guards(item, [], collapsed) for item in (plain, penalised))
    assert any("minibatch_discrimination" in key for key in of_plain.keys)
    assert any("gradient_penalty" in key for key in of_plain.keys)
    assert not any("minibatch" in key or "gradient_penalty" in key for key in of_penalised.keys)


def test_sentences_name_the_figure_and_what_helps(make_experiment):
    finding = not_finite_finding(make_experiment(precision="bf16"), ["d_loss"], "loss", 12_345)
    assert isinstance(finding, Finding)
    assert finding.sentence().startswith("not finite: loss `d_loss` became NaN or infinite by 12,345 images")
    assert "What usually helps: lower optimizers.discriminator.learning_rate" in finding.sentence()
    assert finding.record()["keys"][-1] == "precision: fp32"
    assert verdict_names([finding, finding]) == "not finite, not finite"
