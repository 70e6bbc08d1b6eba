"""`configs/questions/*.yaml`: what is read, and what a mistake is told."""

import pytest

from gan_core.config import load_configs
from tests.small_configs import mistakes

QUESTION = "name: why\nquestion: Why?\nexperiments: [first, fi*]\nfigures: [fid]\n"


@pytest.fixture
def write(folder):
    def write(text: str):
        (folder / "questions").mkdir(exist_ok=True)
        path = folder / "questions" / "why.yaml"
        path.write_text(text)
        return path

    return write


def test_a_question_names_experiments_and_figures(folder, write):
    write(QUESTION)
    configs = load_configs(folder)
    assert configs.mistakes == ()
    assert configs.question("why").chosen(configs.experiments) == ["first"]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("fi*", "se*", ":3: no experiment matches `se*`"),
        ("[fid]", "[recal]", ":4: no figure that compares is named `recal`; did you mean `recall`?"),
        ("[fid]", "[fid, fid]", "figures names one twice"),
        ("[fid]", "[seconds_to_fid]", "needs `fid_to_reach`"),
        ("[fid]", "[fid]\nfid_to_reach: 3", ":5: fid_to_reach is for the figures"),
        ("[fid]", "[fid]\nalong: [bach_size]", "`bach_size`; did you mean `batch_size`?"),
        ("[fid]", "[fid]\nlabels: {A: second}", ":5: no experiment matches `second`"),
        ("question: Why?", "question: ''", "`question`"),
        ("name: why", "name: Why", "small letters"),
        ("experiments", "experiment", "unknown key `experiment`, did you mean `experiments`?"),
    ],
)
def test_a_wrong_question_is_left_out_with_its_line(folder, write, old, new, expected):
    path = write(QUESTION.replace(old, new))
    text = mistakes(folder)
    assert str(path) in text and expected in text
    assert load_configs(folder).questions == {}


def test_the_question_of_an_experiment_that_was_left_out_says_so(folder, write):
    write(QUESTION)
    (folder / "experiments" / "first.yaml").write_text("name: first\ndataset: tiny\n")
    assert "`first` were left out: mend their file" in mistakes(folder)


def test_every_shipped_question_has_experiments_and_labels_that_match():
    configs = load_configs()
    assert configs.mistakes == () and len(configs.questions) >= 10
    for question in configs.questions.values():
        seeds = {configs.experiments[name].seed for name in question.chosen(configs.experiments)}
        assert len(seeds) >= 3, question.name
