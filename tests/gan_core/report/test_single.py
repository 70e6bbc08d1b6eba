"""One file of a few experiments."""

import re

import pytest

from gan_core import cli
from gan_core.config import load_configs
from gan_core.errors import StoreError
from gan_core.leaderboard.leaderboard import build_leaderboard
from gan_core.report import single
from gan_core.report.artefacts import Artefacts, stored
from gan_core.report.single import single_page
from gan_core.report.site import Site
from gan_core.store import Store
from tests.gan_core.report.conftest import Workshop
from tests.gan_core.report.example import DATASET
from tests.small_project import write_config

COMMON = {"dataset": "digits", "length": {"images": 60_000}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two configurations, one of them with two seeds, and a third that was never trained."""
    folder = tmp_path_factory.mktemp("single")
    workshop = Workshop(Store(folder / "store"))
    for content in (
        DATASET,
        {"name": "one", "description": "The first.", **COMMON},
        {"name": "two", "n_critic": 2, **COMMON, "grid": {"seed": [0, 1]}},
        {"name": "later", "n_critic": 3, **COMMON},
    ):
        write_config(folder / "configs", content)
    experiments = load_configs(folder / "configs").experiments
    for number, name in enumerate(("one", "two-seed-0", "two-seed-1")):
        workshop.whole(experiments[name], training={"seed": number}, fid=20.0 + number)
    return folder


@pytest.fixture(scope="module")
def site(folder):
    configs, store, unreadable = load_configs(folder / "configs"), Store(folder / "store"), {}
    manifests = stored(store, configs, unreadable)
    leaderboard = build_leaderboard(
        store, configs.experiments, manifests["trained_gan"], manifests["evaluation"]
    )
    return Site(store, configs, Artefacts(leaderboard, manifests, {}, {}, unreadable))


def test_it_has_the_table_the_curves_and_each_configuration(site):
    page = single_page(site, ["one", "two-seed-1"]).decode()
    words = re.sub(r"<script.*?</script>", "", page, flags=re.S)
    for text in ("The first.", "20.00", "21.50", "two-seed-0", "Curves over each other", "train one"):
        assert text in words
    assert '"one, discriminator"' in page and '"two, generator"' in page


def test_it_leads_to_no_other_file(site):
    page = single_page(site, ["one", "two-seed-0"]).decode()
    words = re.sub(r"<script.*?</script>", "", page, flags=re.S)
    anchors = set(re.findall(r'id="([^"]+)"', words))
    addresses = re.findall(r'(?:href|src)="([^"]+)"', words)
    assert addresses
    for address in addresses:
        assert address.startswith("data:image/") or address[0] == "#" and address[1:] in anchors, address


def test_of_one_configuration_nothing_is_compared(site):
    page = single_page(site, ["one"]).decode()
    assert "Curves over each other" not in page and 'id="two"' not in page
    assert "<title>one" in page


def test_what_is_not_there_or_too_large_is_said_in_one_line(site, monkeypatch):
    with pytest.raises(StoreError, match="holds nothing of `later`: train what you want to share") as said:
        single_page(site, ["later"])
    assert "\n" not in str(said.value)
    monkeypatch.setattr(single, "MOST_BYTES", 100_000)
    with pytest.raises(StoreError, match="MB can be sent by mail: name fewer than these 2 configurations"):
        single_page(site, ["one", "two-seed-0"])


def test_the_command_writes_it_and_refuses_what_makes_no_sense(folder, capsys):
    given = ["--store", str(folder / "store"), "--configs", str(folder / "configs")]
    file = folder / "shared.html"
    assert cli.main(["report", "two-*", "--single-file", str(file), *given]) == 0
    assert "two-seed-1" in file.read_text() and 'id="one"' not in file.read_text()
    assert cli.main(["report", "two-*", *given]) != 0
    assert "names and --single-file belong together" in capsys.readouterr().err
    assert cli.main(["report", "none-*", "--single-file", str(file), *given]) != 0
    assert "no experiment matches `none-*`" in capsys.readouterr().err
