"""The linear probe: its features by hand, its classifier on planted classes, its figures on a real GAN."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from gan_core.analysis.kinds import linear_probe as probe
from gan_core.config import Experiment
from gan_core.models import build_discriminator


def discriminator(size: int, channels: int = 1, **architecture):
    experiment = Experiment.model_validate(
        {"name": "any", "dataset": "any", "length": {"images": 9}, "architecture": architecture}
    )
    torch.manual_seed(0)
    return build_discriminator(experiment, channels=channels, image_size=size, n_classes=0).eval()


def test_features_of_dcgan_are_those_computed_by_hand():
    network = discriminator(32, name="dcgan", width=4)
    network.train()(torch.randn(20, 1, 32, 32))  # norms with statistics of their own
    network.eval()
    images = torch.randn(3, 1, 32, 32)
    first, second, third = (m for m in network.layers if isinstance(m, torch.nn.Conv2d))
    norms = [m for m in network.layers if isinstance(m, torch.nn.BatchNorm2d)]
    x = functional.leaky_relu(first(images), 0.2)
    layers = [x]
    for convolution, norm in zip((second, third), norms, strict=True):
        mean, deviation = norm.running_mean, (norm.running_var + norm.eps).sqrt()
        normed = (convolution(x) - mean[:, None, None]) / deviation[:, None, None]
        x = functional.leaky_relu(normed * norm.weight[:, None, None] + norm.bias[:, None, None], 0.2)
        layers.append(x)
    # Largest of blocks, by reshaping: 16, 8 and 4 pixels to 4.
    blocks = [maps.reshape(3, maps.shape[1], 4, maps.shape[2] // 4, 4, -1).amax((3, 5)) for maps in layers]
    expected = torch.cat([block.flatten(1) for block in blocks], dim=1)
    found = probe.pooled(probe.representations(network, images))
    torch.testing.assert_close(found, expected)
    assert found.shape == (3, (4 + 8 + 16) * 16)


@pytest.mark.parametrize(
    ("size", "architecture", "shapes"),
    [
        (32, {"name": "resnet", "width": 8}, [(8, 16, 16), (8, 8, 8), (8, 8, 8), (8, 8, 8)]),
        (64, {"name": "dense_dcgan", "width": 2}, [(2, 32, 32), (8, 16, 16), (16, 8, 8)]),
        (16, {"name": "mlp", "width": 12}, [(12,), (12,), (12,)]),
        (16, {"name": "dcgan", "width": 4, "dropout": 0.5, "spectral_norm": True}, [(4, 8, 8), (8, 4, 4)]),
        (
            32,
            {"name": "resnet", "width": 8, "minibatch_stddev": True},
            [(8, 16, 16), (8, 8, 8), (8, 8, 8), (8, 8, 8)],
        ),
        (16, {"name": "dcgan", "width": 4, "minibatch_stddev": True}, [(4, 8, 8), (8, 4, 4)]),
    ],
)
def test_every_architecture_gives_its_layers(size, architecture, shapes):
    network = discriminator(size, **architecture)
    images = torch.randn(5, 1, size, size)
    layers = probe.representations(network, images)
    assert [tuple(maps.shape[1:]) for maps in layers] == shapes
    # The last one is what the heads read, before it is flat or pooled.
    features = network(images).features
    last = layers[-1].flatten(1) if layers[-1].flatten(1).shape == features.shape else layers[-1].mean((2, 3))
    torch.testing.assert_close(last, features)


def test_standardised_features_are_those_of_numpy():
    train, test = np.random.default_rng(0).normal(3, 2, (2, 40, 9))
    scaled = probe.scaled(train, test)
    for found, given in zip(scaled, (train, test), strict=True):
        np.testing.assert_allclose(found, (given - train.mean(0)) / train.std(0) / 3)


def test_a_few_of_each_class():
    labels = np.array([0] * 30 + [1] * 5 + [2] * 20)
    chosen = probe.few_of_each(labels, 10, 0)
    assert np.bincount(labels[chosen]).tolist() == [10, 5, 10] and len(set(chosen)) == 25
    assert not np.array_equal(chosen, probe.few_of_each(labels, 10, 1))


def planted():
    """One of 50 features tells the two classes, the others are noise: (train, labels, test, labels)."""
    numbers = np.random.default_rng(0)
    labels = numbers.integers(0, 2, 400)
    features = numbers.normal(size=(400, 50))
    features[:, 7] += 4 * labels
    train, test = probe.scaled(features[:200], features[200:])
    return train, labels[:200], test, labels[200:]


def test_planted_classes_are_recognised_and_noise_is_not():
    train, labels, test, truth = planted()
    scores = probe.held_out_scores(train, labels, seed=0)
    assert len(scores) == len(probe.STRENGTHS) and min(scores) > 0.85
    assert probe.fitted(10.0, train, labels).score(test, truth) > 0.93
    numbers = np.random.default_rng(1)
    noise, others = probe.scaled(numbers.normal(size=(200, 50)), numbers.normal(size=(200, 50)))
    assert abs(probe.fitted(1.0, noise, labels).score(others, truth) - 0.5) < 0.12


@pytest.mark.parametrize("strength", probe.STRENGTHS)
def test_the_classifier_is_at_its_optimum(strength):
    """The gradient of the regularised loss by hand, relative to that of weights of 0."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    features = probe.scaled(images[:600], images[:9])[0]
    labels, ones = labels[:600], np.eye(10)[labels[:600]]
    model = probe.fitted(strength, features, labels)

    def gradient(weights, bias):
        scores = features @ weights.T + bias
        shares = np.exp(scores - scores.max(1, keepdims=True))
        errors = shares / shares.sum(1, keepdims=True) - ones
        return strength * errors.T @ features + weights

    left = gradient(model[-1].coef_, model[-1].intercept_)
    assert np.abs(left).max() < 1e-3 * np.abs(gradient(np.zeros((10, 64)), np.zeros(10))).max()


def test_few_images_are_fitted_in_the_space_that_they_span():
    """The same probabilities as of scikit-learn's fit of all features, to what its tolerance leaves."""
    from sklearn.linear_model import LogisticRegression

    numbers = np.random.default_rng(0)
    labels = np.arange(40) % 4
    features = (numbers.normal(size=(40, 400)) + 2 * np.eye(4, 400)[labels]) / 20
    others = numbers.normal(size=(50, 400)) / 20
    model = probe.fitted(10.0, features, labels)
    whole = LogisticRegression(C=10.0, max_iter=5_000, tol=1e-8).fit(features, labels)
    assert len(model) == 2 and model[-1].coef_.shape == (4, 40)
    assert model.predict_proba(others) == pytest.approx(whole.predict_proba(others), abs=1e-3)


def test_the_bootstrap_has_the_width_of_the_normal_approximation():
    values = np.random.default_rng(0).normal(0.3, 1, 900)
    low, high = probe.bootstrap_interval(values, seed=0)
    error = values.std() / 30
    assert low == pytest.approx(values.mean() - 1.96 * error, abs=0.15 * error)
    assert high == pytest.approx(values.mean() + 1.96 * error, abs=0.15 * error)


def test_of_a_real_discriminator(trained):
    subject = trained.subject()
    found = probe.look(subject)
    figures = found.figures
    assert set(figures) == set(probe.FIGURES)
    assert figures["probe_low"] < figures["probe"] < figures["probe_high"]
    assert figures["probe_gain"] == pytest.approx(figures["probe"] - figures["probe_untrained"])
    assert figures["probe_gain_few"] == pytest.approx(figures["probe_few"] - figures["probe_untrained_few"])
    # Of digits all of them see most, and fewer labels teach less.
    assert figures["probe_pixels"] > 0.8 and figures["probe"] > figures["probe_few"] > 0.5
    assert "300 of 300 train and 300 of 300 test images; 384 features" in found.protocol
    names = ["trained D", "3 untrained Ds, mean", "pixels", "gain of training, 95% interval"]
    assert [row["features"] for row in found.table] == names
    for ending, heading in (("", "all labels"), ("_few", "10 labels a class")):
        gain, low, high = (100 * figures[f"probe_gain{ending}{end}"] for end in ("", "_low", "_high"))
        assert found.table[-1][heading] == f"{gain:+.1f} points ({low:+.1f} to {high:+.1f})"


def test_one_strength_for_all_features(trained, monkeypatch):
    """The one that recognises most of the held-out images over all of them, not over the trained D's."""
    used, scores = [], iter([[0.9, 0.8, 0.7], *[[0.5, 0.6, 0.7]] * 4])
    monkeypatch.setattr(probe, "held_out_scores", lambda *given: next(scores))
    known = probe.fitted
    monkeypatch.setattr(
        probe, "fitted", lambda strength, *given: used.append(strength) or known(strength, *given)
    )
    found = probe.look(trained.subject())
    assert set(used) == {100.0} and len(used) == 5 * (1 + probe.DRAWS)
    assert found.choices["strength"] == 100.0 and "C 100 for all" in found.protocol
    assert found.choices["held_out"]["trained D"] == {"1.0": 0.9, "10.0": 0.8, "100.0": 0.7}


def test_what_does_not_converge_is_no_figure(trained, monkeypatch):
    monkeypatch.setattr(probe, "MOST_ITERATIONS", 5)
    found = probe.look(trained.subject())
    assert set(found.figures.values()) == {None}
    assert "did not converge in 5 iterations" in found.protocol


@pytest.mark.parametrize("value", [float("inf"), 1e38])
def test_features_that_are_not_finite_are_no_figures(trained, monkeypatch, value):
    subject = trained.subject()
    network = subject.discriminator()
    network.layers[0].weight.data.fill_(value)
    monkeypatch.setattr(type(subject), "discriminator", lambda self, seed=None: network)
    found = probe.look(subject)
    assert set(found.figures) == set(probe.FIGURES) and set(found.figures.values()) == {None}
    assert "not finite" in found.protocol


def test_a_discriminator_that_sees_nothing_loses(trained, monkeypatch):
    subject = trained.subject()
    known = type(subject).discriminator

    def blind(self, seed=None):
        network = known(self, seed)
        if seed is None:
            network.layers[0].weight.data.zero_()
        return network

    monkeypatch.setattr(type(subject), "discriminator", blind)
    figures = probe.look(subject).figures
    assert figures["probe"] < 0.25 and figures["probe_gain_high"] < -0.4
