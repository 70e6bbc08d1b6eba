"""`configs/notifications.yaml`: what it may say, and that no secret stands in it."""

import re

import pytest

from gan_core.config import load_configs
from tests.small_configs import text_of

MAIL = "mail:\n  host: mail.example.org\n  sender: gan@example.org\n  to: [me@example.org]\n"


def load(folder, text: str):
    (folder / "notifications.yaml").write_text(text)
    return load_configs(folder)


def test_channels_are_those_that_are_set(folder):
    assert load_configs(folder).notifications.channels == {}
    configs = load(folder, "ui: http://127.0.0.1:3000/\nslack: {url: GAN_SLACK_URL}\n" + MAIL)
    assert configs.mistakes == ()
    assert list(configs.notifications.channels) == ["slack", "mail"]
    assert configs.notifications.ui == "http://127.0.0.1:3000"


@pytest.mark.parametrize("name", ["notifications.yaml", "store.yaml"])
def test_where_all_is_commented_out_what_is_so_by_default_holds(folder, name):
    before = load_configs(folder)
    (folder / name).write_text("# tell: [run_failed]\n")
    configs = load_configs(folder)
    assert configs.mistakes == () and configs.keep_policy == before.keep_policy
    assert configs.notifications == before.notifications
    (folder / name).write_text("- tell\n")
    (mistake,) = load_configs(folder).mistakes
    assert mistake.message.endswith(": must be a mapping of keys to values")


@pytest.mark.parametrize(
    "text, told",
    [
        ("slack:\n  url: https://hooks.example.org/T0/geheim\n", ":2: the name of an environment variable"),
        ("tell: [run_failed, all]\n", ":1: `tell.1` is 'all'"),
        ("tell: []\n", ":1: nothing is told: name some of run_failed, guard_spoke"),
        ("ui: localhost\n", ":1: `localhost` is no address of Dagster's UI such as http"),
        ("sms: 1\n", ":1: unknown key `sms`"),
        (MAIL.replace("me@example.org", "me"), ":4: `me` is no mail address such as"),
        (MAIL + "  user: GAN_USER\n", ":2: `user` and `password` go together: name `password`"),
        (MAIL + "  user: U\n  password: P\n  security: none\n", ":7: without encryption the password"),
        (MAIL.replace("  host: mail.example.org\n", ""), ": `mail.host` is missing"),
    ],
)
def test_a_mistake_names_file_line_and_remedy(folder, text, told):
    configs = load(folder, text)
    assert re.search(r"notifications\.yaml(:\d+)?" + told, text_of(configs)), text_of(configs)
    assert "geheim" not in text_of(configs)
    assert configs.notifications.channels == {}


def test_what_the_environment_lacks_is_named_without_what_it_holds(folder):
    text = "slack: {url: SLACK}\nwebhook: {url: WEB}\n" + MAIL + "  user: NAME\n  password: WORD\n"
    notifications = load(folder, text).notifications
    found = notifications.problems({"WEB": "geheim", "NAME": "me"})
    assert [re.search("SLACK|WEB|WORD", line)[0] for line in found] == ["WEB", "SLACK", "WORD"]
    assert "geheim" not in str(found) and all("set it" in line for line in found)
    good = {"SLACK": "https://a.example/x", "WEB": "http://b/", "NAME": "me", "WORD": "x"}
    assert notifications.problems(good) == []
