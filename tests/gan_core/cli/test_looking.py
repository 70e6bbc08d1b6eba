"""`list`, `status` and `check`: what they say, and that they only look."""

import json

import pytest

from tests.small_project import EXPERIMENT, QUESTION, SWEEP
from tests.small_store import WIDE

WRONG = {**EXPERIMENT, "name": "wrong", "batch_size": "many", "objectiv": {}}


def test_list_shows_what_is_configured_with_its_state(run, told, project):
    project.write({**QUESTION, "experiments": ["plain", "wide"]})
    project.write(SWEEP)
    out, _ = run("list")
    assert [line.split()[0] for line in out.splitlines() if line] == [
        *("experiments", "plain", "seed", "wide"),
        *("datasets", "few-digits"),
        *("sweeps", "search"),
        *("questions", "classes"),
    ]
    assert "never trained" in out and "not prepared" in out
    found = told("list")
    assert found["experiments"][0]["state"] == "never trained"
    assert found["datasets"][0]["experiments"] == 3
    (search,) = found["sweeps"]
    assert (search["base"], search["keys"], search["trials"], search["chosen"]) == ("plain", 2, 3, 0)
    assert (found["questions"][0]["experiments"], found["questions"][0]["evaluated"]) == (2, 0)
    assert not (project.folder / "store").exists()


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (["experiments", "p*", "wide"], ["plain", "wide"]),
        (["--tag", "seed=1"], ["seed"]),
        (["--tag", "width=16"], ["wide"]),
        (["--tag", "architecture.width=16"], ["wide"]),
        (["--objective", "non_saturating", "--tag", "seed=0"], ["plain", "wide"]),
        (["--objective", "wasserstein"], []),
        (["plain", "--objective", "wasserstein"], []),
        (["--dataset", "few-digits"], ["plain", "seed", "wide"]),
        (["--tag", "thesis"], ["wide"]),
        (["--tag", "tags=thesis", "--tag", "width=16"], ["wide"]),
        (["--tag", "thesis", "--tag", "width=8"], []),
        (["--state", "evaluated"], []),
        (["--state", "never trained"], ["plain", "seed", "wide"]),
    ],
)
def test_list_chooses_experiments_by_name_tag_and_configuration(told, project, words, names):
    project.write({**WIDE, "tags": ["thesis"]})
    if words[0] != "experiments":
        words = ["experiments", *words]
    assert [row["name"] for row in told("list", *words)] == names


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--tag", "sed=1"], "no key of an experiment is named `sed`"),
        (
            ["--tag", "seed"],
            "no experiment has the tag `seed`; there are: none (a value of a configuration is",
        ),
        (["experiments", "plian"], "no experiment matches `plian`; did you mean `plain`?"),
        (["datasets", "digits"], "nothing listed matches `digits`; did you mean `few-digits`?"),
        (["--dataset", "another"], "--dataset knows no `another`; there are: few-digits"),
        (["--architecture", "dcgna"], "--architecture knows no `dcgna`; did you mean `dcgan` or `sndcgan`?"),
        (["experiments", "plain", "--objective", "huber"], "--objective knows no `huber`; there are: "),
        (["datasets", "--tag", "seed=1"], "choose experiments, not datasets"),
        (["--state", "done"], "--state knows no `done`"),
    ],
)
def test_list_says_what_is_wrong_with_a_choice(run, words, expected):
    _, err = run("list", *words, status=2)
    assert expected in err and len(err.splitlines()) == 1


@pytest.mark.parametrize(
    "kind", ["architectures", "objectives", "penalties", "extractors", "metrics", "analyses"]
)
def test_list_says_what_there_is_to_configure_with(told, kind):
    rows = told("list", kind)
    assert len(rows) >= 2 and all(len(row["description"]) > 10 for row in rows)


def test_status_is_a_table_or_a_document(run, told):
    out, _ = run("status", "p*")
    assert "never trained" in out and "train, sample, evaluate, analyse" in out
    assert out.splitlines()[-1].startswith("1 to train; time unknown")
    assert told("status")["total"]["to_train"] == 3
    _, err = run("status", "absent", status=2)
    assert "no experiment matches `absent`" in err


def test_who_looks_is_told_that_a_file_was_left_out(run, project):
    project.write(WRONG)
    for command in ("list", "status"):
        out, err = run(command, "--json")
        assert json.loads(out) and err == "1 file left out for mistakes: `gan-core check` says which\n"


def test_check_names_every_mistake_and_ends_with_2(run, told, project):
    out, _ = run("check")
    assert out == "no mistake in 1 datasets, 3 experiments, 0 sweeps, 0 questions, 0 schedules\n"
    project.write(WRONG)
    out, _ = run("check", status=2)
    assert "`batch_size` is 'many'" in out and "objectiv" in out and len(out.splitlines()) == 2
    document = told("check", status=2)
    assert not document["valid"] and document["mistakes"][0]["left_out"] == ["wrong"]
    assert len(document["mistakes"][0]["problems"]) == 2


def test_check_says_which_notifications_this_environment_would_not_send(run, told, project, monkeypatch):
    monkeypatch.delenv("GAN_WEBHOOK_URL", raising=False)
    (project.folder / "configs" / "notifications.yaml").write_text("webhook: {url: GAN_WEBHOOK_URL}\n")
    out, _ = run("check")
    assert (
        "in this environment: notifications.yaml: `webhook.url` names GAN_WEBHOOK_URL, which is not set"
        in out
    )
    document = told("check")
    assert document["valid"] and len(document["in_this_environment"]) == 1
    monkeypatch.setenv("GAN_WEBHOOK_URL", "https://hooks.example.org/x")
    assert told("check")["in_this_environment"] == []


def test_check_looks_at_the_files_that_are_named(run, project, tmp_path):
    project.write(WRONG)
    folder = project.folder / "configs" / "experiments"
    assert run("check", str(folder / "plain.yaml"))[0] == "no mistake in 1 file\n"
    assert "many" in run("check", str(folder / "wrong.yaml"), status=2)[0]
    _, err = run("check", str(folder / "absent.yaml"), status=2)
    assert "absent.yaml is not there" in err
    (tmp_path / "loose.yaml").write_text("name: loose")
    _, err = run("check", str(tmp_path / "loose.yaml"), status=2)
    assert "is in no configuration folder" in err


def test_the_leaderboard_is_rows_of_the_tables_that_are_asked_for(run, whole_store):
    run("report", *whole_store)
    out, _ = run("leaderboard", "rows", "plain", "--json", *whole_store)
    (row,) = json.loads(out)
    assert row["experiment"] == "plain" and row["fid"] > 0 and row["members"] == "plain"
    out, _ = run("leaderboard", "rows", *whole_store)
    assert out.startswith("few-digits\n") and "protocol: classifier-" in out
    out, _ = run("leaderboard", "rows", "wide", "--json", *whole_store)
    assert json.loads(out) == []
