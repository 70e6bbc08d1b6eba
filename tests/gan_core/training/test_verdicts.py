"""In-training evaluation, the best generator, and the guards, on real trainings."""

import pandas
import pytest
import torch
from safetensors.torch import load_file

from gan_core import steps
from gan_core.evaluation.classifier import load_classifier, train_classifier
from gan_core.evaluation.in_training import InTrainingEvaluation, read_real_images
from gan_core.sampling import untrained_generator
from gan_core.training import engine, train_gan
from gan_core.training.guards import run_guards
from gan_core.training.noise import stream_seed
from gan_core.training.records.tensorboard import tensorboard_folder


def quiet(line: str) -> None:
    pass


@pytest.fixture
def classifier(store, make_shards, dataset):
    return train_classifier(store, dataset, make_shards(store), emit=quiet)


def poison(monkeypatch, at: int) -> None:
    """Make a weight of G NaN after so many images."""
    step = engine.train_step

    def poisoned(state, *arguments):
        step(state, *arguments)
        if state.images_seen == at:
            with torch.no_grad():
                state.generator.project.weight[0, 0] = float("nan")

    monkeypatch.setattr(engine, "train_step", poisoned)


def test_the_best_generator_is_kept(store, make_shards, make_experiment, dataset, classifier):
    experiment = make_experiment(ema_decay=0.9)
    manifest = train_gan(store, experiment, dataset, make_shards(store), classifier, emit=quiet)
    evaluations = pandas.read_parquet(store.local(manifest, "evaluations.parquet"))
    assert evaluations["images_seen"].tolist() == [200, 400, 600, 800]
    assert (evaluations["fid"] > 0).all()
    best = evaluations.loc[evaluations["fid"].idxmin()]
    assert manifest.figures["fid_best"] == best["fid"]
    assert manifest.figures["images_seen_best"] == best["images_seen"]
    assert manifest.figures["fid_in_training"] == evaluations["fid"].iloc[-1]
    assert manifest.details["published"] == {"images_seen": 800, "which": "last"}
    assert manifest.details["in_training_classifier"] == classifier.version

    best_one = make_experiment(ema_decay=0.9, publish="best")
    published = train_gan(store, best_one, dataset, make_shards(store), classifier, emit=quiet)
    assert published.fingerprint != manifest.fingerprint
    assert published.details["published"] == {"images_seen": best["images_seen"], "which": "best"}
    of_best = load_file(store.local(manifest, "generator_best.safetensors"))
    found = load_file(store.local(published, "generator.safetensors"))
    assert all(torch.equal(found[name], of_best[name]) for name in of_best)


def test_the_classifier_changes_no_weight_and_no_fingerprint(
    store, make_shards, make_experiment, dataset, classifier
):
    shards, experiment = make_shards(store), make_experiment()
    without = train_gan(store, experiment, dataset, shards, emit=quiet)
    content = store.local(without, "generator.safetensors").read_bytes()
    assert "fid_in_training" not in {k for k, v in without.figures.items() if v is not None}
    assert without.figures["diversity"] >= 0
    again = train_gan(store, experiment, dataset, shards, classifier, force=True, emit=quiet)
    assert again.fingerprint == without.fingerprint
    assert store.local(again, "generator.safetensors").read_bytes() == content


def test_a_training_that_diverged_keeps_its_best(
    store, make_shards, make_experiment, dataset, classifier, monkeypatch
):
    poison(monkeypatch, at=504)
    lines: list[str] = []
    manifest = train_gan(store, make_experiment(), dataset, make_shards(store), classifier, emit=lines.append)
    assert manifest.figures["verdict"] == "not finite (stopped)"
    assert manifest.details["stopped_by"] == "not_finite"
    (verdict,) = manifest.details["verdicts"]
    assert "NaN or infinite" in verdict["text"]
    assert verdict["keys"]
    assert manifest.details["published"]["which"] == "best"
    assert manifest.details["published"]["images_seen"] <= 400
    weights = load_file(store.local(manifest, "generator.safetensors"))
    assert all(value.isfinite().all() for value in weights.values())
    history = pandas.read_parquet(store.local(manifest, "history.parquet"))
    assert history.notna().all(axis=None)
    assert any("stopped by the guard `not_finite`" in line for line in lines)


def test_a_guard_can_stop_a_run(store, make_shards, make_experiment, dataset, classifier, monkeypatch):
    judged_as_ended = []

    def watched(*records, ended):
        judged_as_ended.append(ended)
        return run_guards(*records, ended=ended)

    monkeypatch.setattr(engine, "run_guards", watched)
    # A rate of almost nothing: G goes on drawing the same grey, which is as collapsed as can be.
    slow = {"name": "sgd", "learning_rate": 1e-12}
    values = {"optimizers": {"generator": slow, "discriminator": slow}, "latent": {"size": 1}}
    watched = train_gan(store, make_experiment(**values), dataset, make_shards(store), classifier, emit=quiet)
    assert watched.figures["verdict"] == "mode collapse, far from real"
    assert watched.figures["images_seen"] == 800
    assert watched.details["stopped_by"] is None
    stopped = train_gan(
        store,
        make_experiment(**values, stop_on=["mode_collapse"], log_every=25),  # a row at each evaluation
        dataset,
        make_shards(store),
        classifier,
        emit=quiet,
    )
    assert stopped.figures["images_seen"] == 600  # by three FIDs it no longer falls
    assert stopped.details["stopped_by"] == "mode_collapse"
    assert stopped.figures["verdict"] == "mode collapse (stopped), far from real"
    assert stopped.details["verdicts"][0]["figure"] < 0.3
    assert judged_as_ended[-1] and judged_as_ended.count(True) < 5


def test_a_discriminator_that_always_wins_is_named(store, make_shards, make_experiment, dataset):
    values = {
        "optimizers": {
            "generator": {"learning_rate": 1e-7},
            "discriminator": {"learning_rate": 2e-3},
        },
        "length": {"images": 4800},
    }
    manifest = train_gan(store, make_experiment(**values), dataset, make_shards(store), emit=quiet)
    assert "discriminator wins" in manifest.figures["verdict"]
    history = pandas.read_parquet(store.local(manifest, "history.parquet"))
    assert (history[["d_real_accuracy", "d_fake_accuracy"]].tail(5) > 0.99).all(axis=None)


def test_rows_have_gradient_norms_that_autograd_gives(
    store, make_shards, make_experiment, dataset, monkeypatch
):
    seen = []
    step = engine.train_step

    def watched(state, *arguments):
        step(state, *arguments)
        seen.append(
            [
                torch.cat([weight.grad.flatten() for weight in network.parameters()]).norm().item()
                for network in (state.discriminator, state.generator)
            ]
        )

    monkeypatch.setattr(engine, "train_step", watched)
    manifest = train_gan(store, make_experiment(), dataset, make_shards(store), emit=quiet)
    history = pandas.read_parquet(store.local(manifest, "history.parquet"))
    for row in history.itertuples():
        assert [row.d_gradient_norm, row.g_gradient_norm] == pytest.approx(seen[row.step - 1], rel=1e-5)


def test_tensorboard_has_every_row(store, make_shards, make_experiment, dataset, classifier):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    manifest = train_gan(store, make_experiment(), dataset, make_shards(store), classifier, emit=quiet)
    events = EventAccumulator(str(tensorboard_folder(store, "small", manifest.fingerprint)))
    events.Reload()
    history = pandas.read_parquet(store.local(manifest, "history.parquet"))
    losses = events.Scalars("training/d_loss")
    assert [event.step for event in losses] == history["images_seen"].tolist()
    assert [event.value for event in losses] == pytest.approx(history["d_loss"].tolist(), rel=1e-6)
    assert len(events.Scalars("evaluation/fid")) == 4
    assert events.Tags()["images"]


def test_another_classifier_begins_the_fid_anew(
    store, tmp_path, make_shards, make_experiment, dataset, classifier
):
    class Interrupted(BaseException):
        pass

    def observe(snapshot):
        if snapshot.images_seen >= 480:
            raise Interrupted

    shards = make_shards(store)
    with pytest.raises(Interrupted):
        train_gan(
            store,
            make_experiment(),
            dataset,
            shards,
            classifier,
            emit=quiet,
            observe=observe,
            observe_interval=0,
        )
    lines: list[str] = []
    fewer = make_experiment(evaluation_samples=70)
    manifest = train_gan(store, fewer, dataset, shards, classifier, emit=lines.append)
    assert [line for line in lines if "the in-training FID begins anew" in line]
    evaluations = pandas.read_parquet(store.local(manifest, "evaluations.parquet"))
    assert evaluations["fid"].isna().tolist() == [True, True, False, False]
    assert manifest.figures["images_seen_best"] in (600, 800)


def test_a_verdict_at_the_very_end_stops_nothing(store, make_shards, make_experiment, dataset, classifier):
    slow = {"name": "sgd", "learning_rate": 1e-12}
    values = {"optimizers": {"generator": slow, "discriminator": slow}, "latent": {"size": 1}}
    experiment = make_experiment(**values, stop_on=["mode_collapse"], evaluate_every=300)
    manifest = train_gan(store, experiment, dataset, make_shards(store), classifier, emit=quiet)
    assert manifest.figures["verdict"].startswith("mode collapse, far from real")
    assert manifest.details["stopped_by"] is None
    assert manifest.details["published"] == {"images_seen": 800, "which": "last"}


def test_what_decides_the_result_counts_in_the_fingerprint(store, make_shards, make_experiment, classifier):
    shards = make_shards(store)
    assert "classifier" not in steps.trained_gan(make_experiment(), shards, classifier).inputs
    for values in ({"publish": "best"}, {"stop_on": ["stagnation"]}):
        inputs = steps.trained_gan(make_experiment(**values), shards, classifier).inputs
        assert inputs["classifier"] is classifier


def test_a_board_that_cannot_be_written_does_not_end_the_training(
    store, make_shards, make_experiment, dataset, caplog
):
    shards = make_shards(store)
    (store.cache.parent / "tensorboard").write_text("a file where the folder should be")
    manifest = train_gan(store, make_experiment(), dataset, shards, emit=quiet)
    assert manifest.figures["images_seen"] == 800
    assert "nothing more is written for TensorBoard" in caplog.text


def test_an_observer_that_fails_does_not_end_the_training(store, make_shards, make_experiment, dataset):
    def observe(snapshot):
        raise RuntimeError("the database is locked")

    lines: list[str] = []
    experiment, shards = make_experiment(), make_shards(store)
    manifest = train_gan(
        store, experiment, dataset, shards, emit=lines.append, observe=observe, observe_interval=0
    )
    assert manifest.figures["images_seen"] == 800
    assert [line for line in lines if "RuntimeError: the database is locked" in line]


def test_every_row_has_the_fid_of_the_untrained_generator(
    store, make_shards, make_experiment, dataset, classifier
):
    """The same as an evaluation of a generator that was never trained, by the same seed."""
    experiment, shards = make_experiment(), make_shards(store)
    manifest = train_gan(store, experiment, dataset, shards, classifier, emit=quiet)
    rows = pandas.read_parquet(store.local(manifest, "evaluations.parquet"))
    real = read_real_images(store, shards, experiment.evaluation_samples)
    evaluation = InTrainingEvaluation(
        real, load_classifier(store, classifier), stream_seed(experiment.seed, "evaluation")
    )
    untrained = untrained_generator(manifest, experiment.seed, torch.device("cpu"))
    expected = evaluation.measure(untrained.eval())["fid"]
    assert rows["fid_untrained"].tolist() == pytest.approx([expected] * 4, rel=1e-9)
    assert rows["fid"].iloc[0] != expected


def test_a_run_that_goes_on_keeps_the_fid_of_its_beginning(
    store, make_shards, make_experiment, dataset, classifier
):
    def rows(manifest):
        return pandas.read_parquet(store.local(manifest, "evaluations.parquet"))

    def observe(snapshot):
        if snapshot.images_seen >= 480:
            raise KeyboardInterrupt

    shards = make_shards(store)
    whole = rows(train_gan(store, make_experiment(), dataset, shards, classifier, emit=quiet))
    again = {"force": True, "emit": quiet, "observe_interval": 0}
    with pytest.raises(KeyboardInterrupt):
        train_gan(store, make_experiment(), dataset, shards, classifier, observe=observe, **again)
    resumed = rows(train_gan(store, make_experiment(), dataset, shards, classifier, emit=quiet))
    pandas.testing.assert_frame_equal(whole, resumed)
    assert {"class_perplexity", "real_class_perplexity", "fid_untrained"} <= set(whole)


@pytest.mark.parametrize(
    ("length", "batch_size", "times"), [(800, 8, 8), (801, 8, 8), (30, 8, 4), (100_000, 64, 8)]
)
def test_evaluations_come_eight_times_a_run_however_short(length, batch_size, times):
    """As the engine counts; fewer only where the run has fewer steps."""
    every, moments, seen = engine.evaluation_interval(length), set(), 0
    while seen < length:
        before, seen = seen, seen + batch_size
        if before // every != seen // every or seen >= length:
            moments.add(seen)
    assert len(moments) == times


def test_long_runs_are_evaluated_as_often_as_before():
    assert engine.evaluation_interval(10_000_000) == 50_000
    assert engine.evaluation_interval(399_999) == 50_000
    assert engine.evaluation_interval(1) == 1


def test_a_short_run_has_its_evaluations_and_its_verdict(
    store, make_shards, make_experiment, dataset, classifier
):
    slow = {"learning_rate": 1e-9}
    values = {"optimizers": {"generator": slow, "discriminator": slow}, "evaluate_every": None}
    manifest = train_gan(
        store, make_experiment(**values), dataset, make_shards(store), classifier, emit=quiet
    )
    rows = pandas.read_parquet(store.local(manifest, "evaluations.parquet"))
    assert rows["images_seen"].tolist() == [104, 200, 304, 400, 504, 600, 704, 800]
    (finding,) = [item for item in manifest.details["verdicts"] if item["verdict"] == "far_from_real"]
    assert finding["figure"] == pytest.approx(1, abs=0.2)
    assert "it no longer falls" in finding["text"]


def test_stopping_on_far_from_real_waits_for_a_fid_that_falls_no_longer(
    store, make_shards, make_experiment, dataset, classifier
):
    slow = {"name": "sgd", "learning_rate": 1e-12}
    values = {
        "architecture": {"width": 4, "generator_norm": "none"},  # the statistics of a norm would go on moving
        "optimizers": {"generator": slow, "discriminator": slow},
        "stop_on": ["far_from_real"],
    }
    manifest = train_gan(
        store, make_experiment(**values), dataset, make_shards(store), classifier, emit=quiet
    )
    assert manifest.details["stopped_by"] == "far_from_real"
    assert "far from real (stopped)" in manifest.figures["verdict"]
    assert manifest.figures["images_seen"] == 600  # the third evaluation: two stand against one
