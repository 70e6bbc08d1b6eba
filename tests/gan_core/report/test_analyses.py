"""The analyses of an experiment in the report: what was found, what was left out, what is out of date."""

import io

import numpy
import pytest
from PIL import Image

from gan_core.config import Configs, Dataset, Experiment
from gan_core.leaderboard.leaderboard import build_leaderboard
from gan_core.report.artefacts import Artefacts
from gan_core.report.report import build_report
from gan_core.report.views.analyses import analyses_view
from gan_core.report.views.pictures import MAX_PICTURE_BYTES
from tests.gan_core.report.conftest import digits_png
from tests.report_pages import published


def gif(frames: int, side: int) -> bytes:
    numbers = numpy.random.default_rng(0).integers(0, 256, (frames, side, side), dtype=numpy.uint8)
    pictures = [Image.fromarray(frame) for frame in numbers]
    output = io.BytesIO()
    pictures[0].save(output, "GIF", save_all=True, append_images=pictures[1:], loop=0)
    return output.getvalue()


def analyse(workshop, trained, name="walk", animation=None, **found):
    given = {"protocol": "ten walks", "table": [], "pictures": [], "choices": {}, **found}
    files = {"walk.gif": animation or gif(3, 20), "grid.png": digits_png(3, 2)}
    return workshop.make(
        "analysis",
        trained.partition,
        inputs={"trained_gan": trained},
        figures={"sweep_recognised": 0.875, "sweep_recognised_low": None},
        details={"analyses": {name: given}, "left_out": {"class_sweep": "the generator is not conditional"}},
        files=files,
    )


@pytest.fixture
def experiment() -> Experiment:
    return Experiment.model_validate({"name": "first", "dataset": "digits", "length": {"images": 100}})


def page_of(workshop, experiment, trained, **analyses) -> str:
    dataset = Dataset.model_validate(
        {"name": "digits", "source": {"kind": "digits"}, "image_size": 16, "channels": 1}
    )
    configs = Configs(datasets={"digits": dataset}, experiments={"first": experiment})
    of = {"first": trained}
    leaderboard = build_leaderboard(workshop.store, configs.experiments, of, {}, {})
    artefacts = Artefacts(leaderboard, {"trained_gan": of, "analysis": analyses})
    build_report(workshop.store, configs, artefacts)
    return published(workshop.store)["experiments/first.html"]


def test_the_section_has_the_question_the_table_the_pictures_and_what_was_left_out(workshop, experiment):
    trained = workshop.train(experiment)
    rows = [{"features": "<trained> D", "accuracy": "98.4%"}, {"features": "pixels", "accuracy": None}]
    found = analyse(workshop, trained, table=rows, pictures=["walk.gif", "grid.png"])
    page = page_of(workshop, experiment, trained, first=found)
    assert "What does the generator draw on a walk through latent space?" in page
    assert page.index(">Walk</figcaption>") < page.index(">Grid</figcaption>")
    assert "&lt;trained&gt; D" in page and "98.4%" in page and "<td>—</td>" in page
    assert "data:image/gif;base64," in page
    assert "Class sweep: the generator is not conditional." in page
    assert "Analyses:" not in page_of(workshop, experiment, trained)


def test_figures_stand_where_there_is_no_table(workshop, experiment):
    view = analyses_view(
        workshop.store,
        analyse(workshop, workshop.train(experiment), "class_sweep"),
        workshop.train(experiment),
    )
    assert view.analyses[0].figures == [("Recognised in the sweep ↑", "87.5%")]


def test_of_an_earlier_training_it_says_so(workshop, experiment):
    trained = workshop.train(experiment)
    found = analyse(workshop, trained)
    assert analyses_view(workshop.store, found, trained).notes == [
        "Class sweep: the generator is not conditional."
    ]
    newer = workshop.train(experiment, seed=1, force=True)
    notes = analyses_view(workshop.store, found, newer).notes
    assert notes[0] == "These analyses are of an earlier training: analyse it again."


def test_of_a_large_animation_the_first_frame_is_shown(workshop, experiment):
    large = gif(9, 256)
    assert len(large) > MAX_PICTURE_BYTES
    found = analyse(workshop, workshop.train(experiment), animation=large, pictures=["walk.gif"])
    (title, picture), *_ = analyses_view(workshop.store, found, None).analyses[0].pictures
    assert title == "Walk" and picture.source.startswith("data:image/png;base64,")


def test_what_is_damaged_costs_the_section_and_not_the_page(workshop, experiment):
    trained = workshop.train(experiment)
    found = analyse(workshop, trained, pictures=["grid.png"])
    workshop.store.local(found, "grid.png").write_bytes(b"no picture")
    page = page_of(workshop, experiment, trained, first=found)
    assert "grid.png" in page and "Latent space" in page
    found.details.pop("analyses")
    assert "cannot be read" in analyses_view(workshop.store, found, trained).notes[0]
