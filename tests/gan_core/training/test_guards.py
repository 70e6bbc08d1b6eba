"""Each guard on records that have its fault and on records that have not."""

import pytest

from gan_core.training.guards import Finding, not_finite_finding, run_guards, verdict_names

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


def evaluations(*fids: float, diversity: float = 0.9) -> list[dict]:
    return [
        {"images_seen": 50_000 * number, "fid": fid, "diversity": diversity}
        for number, fid in enumerate(fids, start=1)
    ]


def verdicts(experiment, rows, evaluated=()) -> list[str]:
    return [finding.verdict for finding in run_guards(experiment, rows, list(evaluated))]


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


def test_stagnation(make_experiment):
    (finding,) = run_guards(make_experiment(), history(), evaluations(50, 40, 30, 31, 30, 29.9))
    assert finding.verdict == "stagnation"
    assert "30 in the first half of the run (at 150,000 images), 29.9 in the second" in finding.text
    assert verdicts(make_experiment(), history(), evaluations(50, 40, 30, 31, 30)) == []  # too few to say
    without_fid = [{"images_seen": row["images_seen"], "diversity": 0.9} for row in evaluations(*[30] * 9)]
    assert verdicts(make_experiment(), history(), without_fid) == []


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
