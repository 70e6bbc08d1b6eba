"""The step `analysis`: what it leaves, what it reuses, what it refuses; and the command that runs it."""

import json

import pytest

from gan_core import steps
from gan_core.analysis import ANALYSES, Analysis, Findings, add_analysis, chosen_analyses
from gan_core.analysis.analyse import analyse_experiment
from gan_core.cli import main
from gan_core.errors import ConfigError
from gan_core.evaluation.figures import FIGURES, Figure


@pytest.fixture(scope="module")
def whole(trained):
    """Everything of the conditional experiment."""
    return analyse_experiment(*trained.inputs("conditional"), emit=str)


def test_everything_that_applies_is_one_artefact(trained, whole):
    made = whole.details["analyses"]
    assert list(made) == list(ANALYSES) and whole.details["left_out"] == {}
    pictures = [file for found in made.values() for file in found["pictures"]]
    assert sorted(pictures) == sorted(whole.files)
    assert set(whole.figures) == {figure for one in ANALYSES.values() for figure in one.figures}
    assert set(whole.figures) <= set(FIGURES)
    for name in ("probe", "interpolation_end", "sweep_recognised", "epoch_first_fid", "epoch_last_diversity"):
        assert whole.figures[name] is not None, name
    assert all(found["protocol"] for found in made.values())


def test_it_is_reused_until_something_changes(trained, whole, monkeypatch):
    again = analyse_experiment(*trained.inputs("conditional"), emit=str)
    assert again.reused and again.fingerprint == whole.fingerprint
    newer = {**vars(ANALYSES["walk"]), "version": "other"}
    monkeypatch.setitem(ANALYSES, "walk", Analysis(**newer))
    step = steps.analysis(*trained.inputs("conditional")[1:])
    assert step.fingerprint != whole.fingerprint and step.reuse(trained.store) is None


def test_the_same_training_gives_the_same_bytes(trained, whole):
    again = analyse_experiment(*trained.inputs("conditional"), only=["walk", "class_sweep"], emit=str)
    for name, entry in again.files.items():
        assert entry.sha256 == whole.files[name].sha256, name
    assert again.figures["sweep_recognised"] == whole.figures["sweep_recognised"]


def test_what_cannot_be_made_is_left_out_with_the_reason(trained, monkeypatch):
    few = {name: ANALYSES[name] for name in ("walk", "class_sweep")}
    monkeypatch.setattr("gan_core.analysis.ANALYSES", few)
    lines = []
    made = analyse_experiment(*trained.inputs("plain"), emit=lines.append)
    assert made.details["left_out"] == {"class_sweep": "the generator is not conditional"}
    assert made.figures["sweep_recognised"] is None
    assert any("walk (1 of 1)" in line for line in lines)
    assert "analysing plain: no class_sweep: the generator is not conditional" in lines


def test_a_choice_leaves_the_whole_as_it_is(trained, whole):
    made = analyse_experiment(*trained.inputs("conditional"), only=["walk"], emit=str)
    assert made.asset == "chosen_analysis" and list(made.details["analyses"]) == ["walk"]
    assert trained.store.current("analysis", "conditional").fingerprint == whole.fingerprint


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"only": ["dreams"]}, "no analysis `dreams`: choose from linear_probe, interpolation"),
        ({"only": []}, "no analysis is named"),
        (
            {"only": ["class_sweep"]},
            "`class_sweep` cannot be made of plain: the generator is not conditional",
        ),
        (
            {"only": ["walk"], "settings": {"arithmetic": {"a": [1]}}},
            "settings for `arithmetic`, which is not among the analyses that are made: walk$",
        ),
        ({"settings": {"arithmetic": {"d": [1]}}}, "`arithmetic` takes no setting `d`"),
        ({"settings": {"arithmetic": {"a": [1], "b": [2], "c": [999]}}}, "--c names sample 999"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_loaded(trained, monkeypatch, options, told):
    monkeypatch.setattr("gan_core.sampling.load_generator", None)
    with pytest.raises(ConfigError, match=told):
        analyse_experiment(*trained.inputs("plain"), **options)


def test_a_training_of_another_configuration_is_refused(trained):
    store, experiment, *others = trained.inputs("plain")
    other = experiment.model_copy(update={"batch_size": 25})
    with pytest.raises(ConfigError, match="trained with another configuration"):
        analyse_experiment(store, other, *others)


def test_a_training_from_before_says_that_its_first_epoch_was_not_recorded(trained):
    subject = trained.subject()
    assert ANALYSES["first_epoch"].lacks(subject) is None
    subject.trained.details.pop("first_epoch")
    assert "made before" in ANALYSES["first_epoch"].lacks(subject)
    subject.trained.details["first_epoch"] = None
    assert "within its first epoch" in ANALYSES["first_epoch"].lacks(subject)


def test_the_first_epoch_stands_beside_the_end(trained, whole):
    import pandas

    subject = trained.subject("conditional")
    rows = pandas.read_parquet(subject.store.local(subject.trained, "evaluations.parquet"))
    assert whole.figures["epoch_last_fid"] == rows["fid"].iloc[-1]
    assert whole.figures["epoch_first_fid"] == subject.trained.details["first_epoch"]["fid"]
    assert whole.figures["epoch_first_images_seen"] == 300
    assert whole.figures["epoch_last_images_seen"] == 1000


def test_what_needs_labels_says_so(trained):
    subject = trained.subject()
    subject.shards.details.update(classes=None)
    try:
        assert "no classes" in ANALYSES["linear_probe"].lacks(subject)
        assert "choose samples by number" in ANALYSES["arithmetic"].lacks(subject)
    finally:
        subject.shards.details.update(classes=[str(digit) for digit in range(10)])


def test_a_new_analysis_is_one_registration(trained, monkeypatch):
    monkeypatch.setattr("gan_core.analysis.base.ANALYSES", known := dict(ANALYSES))
    monkeypatch.setattr("gan_core.analysis.ANALYSES", known)
    monkeypatch.setattr("gan_core.analysis.base.FIGURES", dict(FIGURES))

    def look(subject) -> Findings:
        return Findings(figures={"latents": float(subject.experiment.latent.size)}, protocol="counted")

    figures = {"latents": Figure("Latents", None, "How many numbers a latent has.")}
    add_analysis("counting", Analysis("Counting", "How many?", figures, look, position=1))
    assert list(chosen_analyses(None))[0] == "counting"
    made = analyse_experiment(*trained.inputs("plain"), only=["counting"], emit=str)
    assert made.figures == {"latents": 16.0}


def test_the_command(trained, whole, capsys):
    places = ["--store", str(trained.store.root), "--configs", str(trained.store.root) + "/../configs"]
    assert main(["analyse", "conditional", *places]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["reused"] and printed["figures"]["probe"] == whole.figures["probe"]
    assert set(printed["analyses"]) == set(ANALYSES) and printed["left_out"] == {}
    assert main(["analyse", "plain", "--a", "12,40,77", "--b", "1", "--c", "2,3", *places]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["analyses"]["arithmetic"]["table"][0]["latent"] == "A - B + C"
    assert main(["analyse", "plain", "--a", "12;40", *places]) == 2
    assert "--a is `12;40`: give sample numbers with commas" in capsys.readouterr().err
    assert main(["analyse", "plain", "--only", "walk", "--a", "1", *places]) == 2
