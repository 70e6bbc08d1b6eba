"""The pages of the questions: each is made again with its own answer alone."""

import pytest

from gan_core.comparing.answers import answer_all, current_answers
from gan_core.leaderboard.leaderboard import build_leaderboard
from gan_core.report.artefacts import Artefacts, stored
from gan_core.report.pages.answers import pages
from gan_core.report.site import Site
from gan_core.store import Store
from tests.gan_core.comparing.conftest import Laboratory


class Pages:
    """The pages of what a laboratory has answered."""

    def __init__(self, folder):
        self.laboratory = Laboratory(Store(folder / "store"))

    def site(self) -> Site:
        store, configs, unreadable = self.laboratory.store, self.laboratory.configs, {}
        manifests = stored(store, configs, unreadable)
        leaderboard = build_leaderboard(
            store, configs.experiments, manifests["trained_gan"], manifests["evaluation"]
        )
        answer_all(store, configs)
        answers = current_answers(store, configs, unreadable)
        return Site(store, configs, Artefacts(leaderboard, manifests, answers, {}, unreadable))

    def by_path(self):
        return {page.path: page for page in pages(self.site())}


@pytest.fixture
def made(tmp_path) -> Pages:
    found = Pages(tmp_path)
    found.laboratory.add("a", fid=[20.0, 21.0, 20.5], failing=(1,), settings={"batch_size": 32})
    found.laboratory.add("b", fid=[30.0, 31.0, 30.4], settings={"batch_size": 64})
    found.laboratory.ask(name="batch", question="Is a batch of 32 better?", figures=["fid", "failed"])
    found.laboratory.ask(name="open", question="And later?", experiments=["a-*", "later-*"])
    return found


def test_a_question_has_a_page_and_a_line_in_the_list(made):
    found = made.by_path()
    assert list(found) == ["answers.html", "answers/batch.html"]
    listed, page = (item.render().decode() for item in found.values())
    assert 'href="answers/batch.html"' in listed and 'id="answer-batch"' in listed
    assert "best is batch size 32" in listed
    assert "And later?" in listed and "make answer QUESTION=open" in listed
    assert "Is a batch of 32 better?</h1>" in page
    assert '"a run that failed"' in page and '"a run"' in page
    assert 'href="../experiments/a.html#a-seed-0"' in page


def test_a_page_is_made_again_with_its_own_answer_alone(made):
    before = {path: page.fingerprint for path, page in made.by_path().items()}
    assert {path: page.fingerprint for path, page in made.by_path().items()} == before
    made.laboratory.add("later", fid=[10.0, 11.0], settings={"batch_size": 16})
    after = {path: page.fingerprint for path, page in made.by_path().items()}
    assert "answers/open.html" in after
    assert after["answers.html"] != before["answers.html"]
    # The other question names every experiment.
    assert after["answers/batch.html"] != before["answers/batch.html"]
    made.laboratory.ask(name="open", question="And later?", experiments=["later-*", "a-*"])
    again = {path: page.fingerprint for path, page in made.by_path().items()}
    assert again["answers/open.html"] != after["answers/open.html"]
    assert again["answers/batch.html"] == after["answers/batch.html"]


def test_a_damaged_picture_is_said_on_its_page(made):
    site = made.site()
    answer = site.artefacts.answers["batch"]
    path = made.laboratory.store.local(answer, "samples.png")
    path.write_bytes(path.read_bytes()[:100])
    _, page = pages(site)
    text = page.render().decode()
    assert "does not match" in text or "damaged" in text or "sha256" in text, text[-1500:]
