"""One file of a store is damaged: the report shows the other experiments and says what is wrong."""

import re
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from gan_core import cli
from gan_core.config import load_configs
from gan_core.store import Store
from tests.gan_core.report.conftest import Workshop
from tests.report_pages import whole_report
from tests.small_project import DATASET, EXPERIMENT, write_config


def tear(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def zero(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def replace_by_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def replace_by_a_loop(path: Path) -> None:
    """A link to itself: nobody can read it, not even root."""
    path.unlink()
    path.symlink_to(path.name)


DAMAGES = (tear, zero, Path.unlink, replace_by_a_folder, replace_by_a_loop)


@pytest.fixture
def project(tmp_path) -> Iterator[Path]:
    """A folder with the configurations and the store of two experiments, evaluated and reported."""
    write_config(tmp_path / "configs", DATASET)
    workshop = Workshop(Store(tmp_path / "whole"))
    for name in ("first", "second"):
        own = {"latent": {"size": len(name)}}  # seeds of one configuration would be one row
        write_config(tmp_path / "configs", {**EXPERIMENT, "name": name, **own})
        workshop.whole(load_configs(tmp_path / "configs").experiments[name])
    for asset in ("raw_images", "classifier", "reference_statistics"):
        workshop.make(asset, DATASET["name"], files={"content": b"content"})
    before = signal.getsignal(signal.SIGTERM)
    report(tmp_path, tmp_path / "whole")
    yield tmp_path
    signal.signal(signal.SIGTERM, before)


def report(project: Path, store: Path) -> None:
    assert cli.main(["report", "--store", str(store), "--configs", str(project / "configs")]) == 0


def files_of(store: Path) -> list[Path]:
    """Every file in the store that is of one experiment, of its dataset or of all."""
    found = (path.relative_to(store) for path in sorted(store.rglob("*")) if path.is_file())
    others = {"cache", "tensorboard", "report"}
    return [path for path in found if "second" not in path.parts and path.parts[0] not in others]


def shown(store: Path) -> str:
    """The report's pages, without when they were made."""
    return re.sub(r"newest result .* UTC", "", whole_report(Store(store)))


def pictures_of_second(page: str) -> int:
    return page.partition('id="second"')[2].partition("</section>")[0].count("<figure")


# Each file is damaged in one way; the slow ones try the other ways.
@pytest.mark.parametrize(
    "turn", [0, *(pytest.param(number, marks=pytest.mark.slow) for number in range(1, len(DAMAGES)))]
)
def test_the_others_are_reported_and_the_damage_is_named(project, tmp_path, turn):
    untouched = shown(project / "whole")
    for number, path in enumerate(files_of(project / "whole")):
        damage = DAMAGES[(number + turn) % len(DAMAGES)]
        store = tmp_path / str(number)
        shutil.copytree(project / "whole", store)
        damage(store / path)
        report(project, store)
        what = f"{damage.__name__} {path}"
        page = shown(store)
        assert ",second," in (store / "leaderboard" / "leaderboard.csv").read_text(), what
        of_the_other = [
            text.partition('id="second"')[2].partition("</section>")[0] for text in (page, untouched)
        ]
        assert of_the_other[0].count("<figure") == of_the_other[1].count("<figure") > 0, what
        missing = damage is Path.unlink and path.suffix == ".json"  # said in other words
        assert page == untouched or path.name in page or missing, what
