"""Samples from elsewhere, measured as those of an experiment."""

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from gan_core.errors import ConfigError, EvaluationError, StoreError
from gan_core.evaluation.evaluate import evaluate_samples
from gan_core.evaluation.external import evaluate_external, external_evaluations, remove_external
from tests.gan_core.evaluation.conftest import draw


@pytest.fixture
def add(trained):
    added = []

    def run(name, location, **options):
        added.append(name)
        return evaluate_external(
            trained.store,
            trained.dataset,
            name,
            str(location),
            reference=trained.reference,
            classifier=trained.classifier,
            **options,
        )

    yield run
    for name in set(added) & set(trained.store.list_names("external_evaluation")):
        remove_external(trained.store, name)


@pytest.fixture
def array(tmp_path):
    def save(name="fake.npy", **drawing):
        np.save(tmp_path / name, draw(**{"count": 60, "noise": 40, "seed": 7, **drawing})[0])
        return tmp_path / name

    return save


def test_it_looks_like_the_evaluation_of_an_experiment(trained, make_samples, add, array):
    samples = make_samples(trained.store, "inside", conditional=False, trained=None)
    inside = evaluate_samples(trained.store, trained.dataset, samples, trained.reference, trained.classifier)
    outside = add("published", array(), description="the same images")
    assert (outside.asset, outside.partition) == ("external_evaluation", "published")
    assert outside.details["protocol"] == inside.details["protocol"]
    assert list(outside.figures) == list(inside.figures)
    for figure, value in inside.figures.items():
        assert outside.figures[figure] == (None if value is None else pytest.approx(value, rel=1e-9))
    for key in ("protocol", "samples", "samples_per_class", "extractors"):
        assert type(outside.details[key]) is type(inside.details[key])
    assert outside.details["extractors"]["classifier"]["protocols"] == {
        name: text
        for name, text in inside.details["extractors"]["classifier"]["protocols"].items()
        if not name.endswith("_untrained")
    }
    assert sorted(outside.files) == sorted(inside.files)
    assert (outside.config["dataset"], outside.config["description"]) == ("halves", "the same images")
    assert outside.config["source"].endswith("fake.npy") and len(outside.config["content"]) == 64


def test_the_content_counts_not_the_place(trained, add, array, tmp_path):
    first = add("published", array())
    folder = tmp_path / "folder"
    folder.mkdir()
    for index, image in enumerate(np.load(array())):
        Image.fromarray(image[0]).save(folder / f"{index:04d}.png")
    again = add("published", folder, description="another text")
    assert again.reused and again.fingerprint == first.fingerprint
    told = []
    other = add("published", array(seed=8), emit=told.append)
    assert any("published: the row of other images, from" in line for line in told)
    assert not other.reused and other.figures["fid"] != first.figures["fid"]
    assert external_evaluations(trained.store) == {"published": other}


def test_classes_that_were_asked_for_otherwise_make_another_protocol(add, array):
    data, even = add("published", array()), add("published", array(), labels="even")
    assert not even.reused and even.figures == data.figures
    assert even.details["protocol"] == data.details["protocol"].replace("labels=data", "labels=even")


def test_rows_are_listed_and_removed(trained, add, array):
    assert external_evaluations(trained.store) == {}
    with pytest.raises(StoreError, match="no row from elsewhere is called `a`: there are none"):
        remove_external(trained.store, "a")
    made = {name: add(name, array(seed=seed)) for seed, name in enumerate(["a", "b"])}
    assert external_evaluations(trained.store) == made
    with pytest.raises(StoreError, match="is called `c`: there are a, b"):
        remove_external(trained.store, "c")
    remove_external(trained.store, "a")
    assert list(external_evaluations(trained.store)) == ["b"]


def test_other_sizes_need_a_word_and_stand_in_the_protocol(add, array):
    large = array(size=24, channels=3)
    with pytest.raises(EvaluationError, match="are 24x24, but those of halves 16x16.*--image-size 16"):
        add("large", large)
    with pytest.raises(EvaluationError, match="image_size is 8, but the images of halves are 16"):
        add("large", large, image_size=8)
    made = add("large", large, image_size=16)
    arrived = "images=24x24x3/16x16x1 channels=rgb-to-grey resize=16-bicubic-crop "
    assert arrived in made.details["protocol"]
    assert any("have colours" in warning for warning in made.details["warnings"])


def test_what_is_wrong_is_said_before_anything_is_made(trained, add, array):
    with pytest.raises(ConfigError, match="`Big GAN` is no name of a row"):
        add("Big GAN", array())
    with pytest.raises(EvaluationError, match="holds 3 images, but 10 are needed"):
        add("few", array(count=3))
    assert external_evaluations(trained.store) == {}


def test_listing_rows_needs_no_torch():
    code = "import sys, gan_core.evaluation.external; sys.exit('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
