"""`configs/schedules/`: what a file may say, and what is said of one that is wrong."""

import datetime
import re

import pytest

from gan_core.config import load_configs
from gan_core.config.ages import parse_age, shown_age
from tests.small_configs import EXPERIMENT, mistakes, text_of

NIGHTLY = "name: nightly\ndoes: train\ncron: 0 3 * * *\nexperiments:\n  - first\n"


def write(folder, text: str, name: str = "nightly") -> None:
    (folder / "schedules").mkdir(exist_ok=True)
    (folder / "schedules" / f"{name}.yaml").write_text(text)


def test_experiments_are_chosen_by_name_pattern_and_tag(folder):
    for name, tags in (("second", "[slow]"), ("third", "[draft]"), ("other", "[]")):
        text = EXPERIMENT.replace("first", name) + f"tags: {tags}\n"
        (folder / "experiments" / f"{name}.yaml").write_text(text)
    write(folder, NIGHTLY.replace("first", "'f*'") + "tags: [draft, slow]\n")
    configs = load_configs(folder)
    assert configs.mistakes == ()
    chosen = configs.schedules["nightly"].chosen(configs.experiments.values())
    assert [item.name for item in chosen] == ["first", "second", "third"]


@pytest.mark.parametrize(
    "text, told",
    [
        (NIGHTLY.replace("0 3 * * *", "garbage"), ':3: cron is `garbage`, which is not .* such as "0 2'),
        (NIGHTLY.replace("0 3 * * *", "0 3 * * * *"), ":3: cron is `0 3"),
        (NIGHTLY.replace("0 3 * * *", "0 25 * * *"), ":3: cron is `0 25"),
        (NIGHTLY.replace("0 3 * * *", "0 3 30 2 *"), ":3: cron `0 3 30 2 .*` is a day that never comes"),
        (NIGHTLY + "timezone: Nowhere/Land\n", ":6: timezone `Nowhere/Land` is not an IANA name such as"),
        (NIGHTLY.replace("train", "prune"), ":2: `prune` needs `older_than`, for example"),
        (NIGHTLY.replace("train", "prune") + "older_than: 3d\n", ":4: `prune` is for all runs .* remove"),
        (NIGHTLY + "older_than: 3d\n", ":6: older_than is for `prune`, not `train`: remove it"),
        ("name: x\ndoes: prune\ncron: 0 3 * * *\nolder_than: old\n", ":4: `old` is not an age: .* 30d"),
        ("name: x\ndoes: train\ncron: 0 3 * * *\n", ":2: `train` needs `experiments` or `tags`"),
        (NIGHTLY + "crom: 1\n", ":6: unknown key `crom`, did you mean `cron`"),
        (NIGHTLY + "  - absent\n", ":6: no experiment matches `absent`; there are: first"),
        (NIGHTLY + "  - 'demo-*'\n", r":6: no experiment matches `demo-\*`"),
        (NIGHTLY + "tags: [draft]\n", ":6: no experiment has the tag `draft`; there are: none"),
        (NIGHTLY.replace("nightly", "a_b"), ":1: `name` is 'a_b'"),
    ],
)
def test_a_mistake_names_file_line_and_remedy(folder, text, told):
    write(folder, text)
    configs = load_configs(folder)
    assert list(configs.experiments) == ["first"]
    assert re.search(r"schedules/nightly\.yaml" + told, text_of(configs)), text_of(configs)


def test_it_goes_on_without_what_is_not_there(folder):
    (folder / "experiments" / "wrong.yaml").write_text("name: wrong\n")
    write(folder, NIGHTLY + "  - absent\n  - wrong\n")
    configs = load_configs(folder)
    chosen = configs.schedules["nightly"].chosen(configs.experiments.values())
    assert [item.name for item in chosen] == ["first"]
    text = text_of(configs)
    assert "nightly.yaml:6: no experiment matches `absent`" in text
    assert "nightly.yaml:7: the experiments of `wrong` were left out: mend their file" in text


def test_the_file_of_before_is_not_passed_over_in_silence(folder):
    (folder / "nightly.yaml").write_text("cron: 0 3 * * *\n")
    assert "nightly.yaml: is not read any more: move it to schedules/nightly.yaml" in mistakes(folder)


@pytest.mark.parametrize("text, hours", [("12h", 12), ("30d", 720), ("2w", 336), ("0d", 0)])
def test_ages(text, hours):
    assert parse_age(text) == datetime.timedelta(hours=hours)
    assert parse_age(shown_age(parse_age(text))) == parse_age(text)


@pytest.mark.parametrize("text", ["", "30", "-1d", "3 d", "1m", "999999w", "1.5d", None])
def test_what_is_no_age(text):
    with pytest.raises(ValueError, match="is not an age: write hours, days or weeks"):
        parse_age(text)
