import subprocess
import sys

import pytest

from gan_core.config import Experiment
from gan_core.leaderboard.verdicts import (
    course,
    finding_figure,
    findings,
    verdict_level,
    verdict_markdown,
    verdict_text,
    worst_of,
)
from tests.gan_core.report.conftest import MODE_COLLAPSE, STAGNATION


def experiment(**changes) -> Experiment:
    values = {"name": "one", "dataset": "digits", "length": {"images": 60000}}
    return Experiment.model_validate({**values, **changes})


@pytest.mark.parametrize(
    ("found", "stopped_by", "text", "level"),
    [
        ([], None, "healthy", "healthy"),
        ([STAGNATION], None, "stagnation", "warned"),
        ([MODE_COLLAPSE, STAGNATION], "stagnation", "mode collapse, stagnation (stopped)", "stopped"),
        ([MODE_COLLAPSE, STAGNATION], "mode_collapse", "mode collapse (stopped), stagnation", "stopped"),
    ],
)
def test_the_verdict_in_words(workshop, found, stopped_by, text, level):
    trained = workshop.train(experiment(), found=found, stopped_by=stopped_by)
    assert verdict_text(trained) == text
    assert verdict_level(text) == level


def test_without_a_verdict_it_is_unknown(workshop):
    old = workshop.train_before_guards(experiment())
    assert verdict_text(None) == verdict_text(old) == "unknown"
    assert verdict_level("unknown") == "unknown"
    assert "older than the guards" in verdict_markdown(old)


def test_the_course_says_where_a_guard_stopped_it_and_what_was_published(workshop):
    stopped = workshop.train(experiment(), found=[STAGNATION], stopped_by="stagnation", images_seen=31_000)
    assert course(stopped) == [
        "The guard `stagnation` stopped this training at 31,000 images seen, of 60,000 planned.",
        "Published, and so sampled and evaluated, is the generator of the end, of 31,000 images seen.",
    ]
    epochs = experiment(length={"epochs": 12.5})
    best = workshop.train(
        epochs, found=[STAGNATION], stopped_by="stagnation", best_at=12_800, images_seen=31_000
    )
    assert course(best) == [
        "The guard `stagnation` stopped this training at 31,000 images seen, of 12.5 epochs planned.",
        "Published, and so sampled and evaluated, is the generator with the best in-training FID, of 12,800 "
        "images seen.",
    ]
    assert course(workshop.train(experiment(seed=1))) == []


def test_the_course_says_that_bf16_was_asked_for_and_fp32_taken(workshop):
    trained = workshop.train(experiment(precision="bf16"))
    of_fp32 = trained.model_copy(
        update={"details": {**trained.details, "precision": "fp32", "device": "cpu"}}
    )
    (sentence,) = course(of_fp32)
    assert sentence == (
        "It was trained in fp32 instead of bf16, which cpu is not known to be fast in. It counts as trained "
        "on every device: for bf16, run `python -m gan_core train one --force` where that is fast."
    )
    said = verdict_markdown(of_fp32).splitlines()
    assert len(said) == 2 and said[1] == "- No guard found anything wrong."
    of_bf16 = trained.model_copy(update={"details": {**trained.details, "precision": "bf16"}})
    assert course(of_bf16) == []


def test_every_finding_shows_its_figure():
    assert finding_figure(MODE_COLLAPSE) == "Diversity: 0.123, at 25,600 images seen"
    not_finite = {"verdict": "not_finite", "figure": 640.0, "images_seen": 640}
    assert finding_figure(not_finite) == "At 640 images seen"
    overflowed = {"verdict": "exploded_gradients", "figure": None, "images_seen": 640}  # infinity, in JSON
    assert finding_figure(overflowed) == "At 640 images seen"


def test_markdown_shows_the_text_as_it_is(workshop):
    keys = ["optimizers.*.betas: [0.0, 0.9]", "<b>"]
    trained = workshop.train(experiment(), found=[{**STAGNATION, "keys": keys}, MODE_COLLAPSE])
    first, second = verdict_markdown(trained).splitlines()
    assert first.startswith("- Stagnation: the best in-training FID is 41.2 in the first half")
    assert first.endswith("What usually helps: optimizers.\\*.betas: \\[0.0, 0.9\\]; \\<b\\>.")
    assert second.startswith("- Mode collapse: ")
    assert verdict_markdown(workshop.train(experiment(seed=1))) == "- No guard found anything wrong."


def test_verdicts_are_read_without_torch():
    code = "import sys; import gan_core.leaderboard.verdicts; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.parametrize(
    ("text", "short"),
    [
        ("healthy", "healthy"),
        ("unknown", "unknown"),
        ("healthy (2 of 3); mode collapse, stagnation (1 of 3)", "mode collapse + 1 (1 of 3)"),
        (
            "mode collapse (stopped), stagnation (1 of 2); healthy (1 of 2)",
            "mode collapse (stopped) + 1 (1 of 2)",
        ),
        ("mode collapse (stopped), stagnation", "mode collapse (stopped) + 1"),
    ],
)
def test_the_worst_verdict_is_told_first_in_few_words(text, short):
    assert worst_of(text) == short


FAR = {
    "verdict": "far_from_real",
    "text": "nothing like the images was learned yet: the in-training FID is 80 at 60,000 images, 26% of 310",
    "figure": 0.26,
    "images_seen": 60_000,
    "keys": ["a longer length"],
}


@pytest.mark.parametrize(
    ("found", "fid", "text"),
    [
        ([], 61.0, "healthy"),
        ([], 63.0, "far from real"),  # a training of before it was measured at the beginning
        ([FAR], 63.0, "far from real"),  # said once
        ([FAR], 61.0, "healthy"),  # more samples say otherwise
        ([FAR], 200.0, "no better than untrained"),  # the stronger word
        ([FAR], None, "far from real"),  # nothing else is known
        ([STAGNATION, FAR], 200.0, "stagnation, no better than untrained"),
    ],
)
def test_how_far_from_real_is_said_once_and_by_the_evaluation_where_there_is_one(workshop, found, fid, text):
    """Of an untrained FID of 310."""
    known = {"fid": fid} if fid else {"fid_untrained": None}
    trained, _, evaluation = workshop.whole(experiment(), training={"found": found}, **known)
    assert verdict_text(trained, evaluation) == text
    told = [item["verdict"].replace("_", " ") for item in findings(trained, evaluation)]
    assert told == ([] if text == "healthy" else text.split(", "))
    assert verdict_text(trained) == (
        ", ".join(item["verdict"].replace("_", " ") for item in found) or "healthy"
    )


def test_a_run_that_was_stopped_for_it_keeps_the_word(workshop):
    training = {"found": [FAR], "stopped_by": "far_from_real"}
    for fid in (61.0, 63.0, 200.0):
        trained, _, evaluation = workshop.whole(experiment(), training={**training, "force": True}, fid=fid)
        assert verdict_text(trained, evaluation) == "far from real (stopped)"
        assert findings(trained, evaluation) == [FAR]
