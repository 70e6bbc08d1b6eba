"""The documentation: links lead somewhere, what can be run is run, and the site is built."""

import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

REPOSITORY = Path(__file__).resolve().parents[1]
DOCS = REPOSITORY / "docs"
PAGES = [REPOSITORY / "README.md", *sorted(DOCS.glob("*.md"))]
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", (DOCS / page).read_text(), re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """The names that GitHub gives a page's headings."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    prose = re.sub(r"^```.*?^```|`[^`\n]*`", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    for link in LINK.findall(prose):
        if "://" in link:
            continue
        place, _, anchor = link.partition("#")
        target = page.parent / place if place else page
        assert target.exists(), f"{page.name} links to {link}, which is not there"
        within = page.parent != DOCS or DOCS in (target.resolve(), *target.resolve().parents)
        assert within, f"{page.name} links to {link}, which the site of docs/ does not have: name it"
        if anchor:
            assert anchor in anchors(target), f"{page.name} links to {link}: no such heading"


def test_every_page_is_in_the_readmes_list():
    listed = re.search(r"^\| `docs/` \|(.*)$", (REPOSITORY / "README.md").read_text(), re.MULTILINE)[1]
    pages = {page.name for page in DOCS.glob("*.md")} - {"index.md", "fingerprints.md"}
    assert not pages - {Path(link).name for link in LINK.findall(listed)}


def test_run_configurations_fit_their_jobs():
    import dagster as dg

    from pipelines.definitions import defs

    snippets = [block for block in blocks("operation.md", "yaml") if block.startswith("# job ")]
    told = [yaml.safe_load(block) for block in snippets]
    names = [re.match(r"# job (\w+)", block)[1] for block in snippets]
    assert sorted(names) == ["choose_experiments", "compare_experiments", "prepare_dataset", "run_experiment"]
    for name, configuration in zip(names, told, strict=True):
        job = defs.resolve_job_def(name)
        assert dg.validate_run_config(job, configuration)
        steps = {key.path[-1] for key in job.asset_layer.executable_asset_keys}
        if not steps:  # makes no asset
            continue
        assert set(configuration["ops"]) == steps
        assert all(step["config"] == {"force": True} for step in configuration["ops"].values())


def recipes() -> dict[str, list[str]]:
    """The commands of `docs/machines.md` for each target with its variables."""
    table = (DOCS / "machines.md").read_text().partition("## Without make")[2]
    found: dict[str, list[str]] = {}
    last = ""
    for target, command in re.findall(r"^\| (?:`?([^|`]*)`?) \| `([^`]+)` \|$", table, re.MULTILINE):
        last = target.strip() or last
        found.setdefault(last, []).append(command)
    return found


def test_commands_without_make_are_those_of_make(tmp_path):
    environment = {**os.environ, "DAGSTER_HOME": str(tmp_path), "GAN_STORE": str(tmp_path)}
    by_target = recipes()
    once = by_target.pop("all of them, once")
    listed = re.findall(r"^([a-z-]+):.*## ", (REPOSITORY / "Makefile").read_text(), re.MULTILINE)
    assert {target.split()[0] for target in by_target} == set(listed) - {"help", "vendor"}
    for target, commands in by_target.items():
        made = subprocess.run(
            ["make", "--dry-run", "--always-make", *target.split()],
            cwd=REPOSITORY,
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        plain = " ".join(made.replace("\\\n", " ").replace('"', "").split())
        for command in commands + ([] if target == "clean" else once):
            assert command in plain, f"`make {target}` does something else than `{command}`"


def test_what_the_example_imports_is_there():
    (example,) = blocks("library.md", "python")
    for module, names in re.findall(r"^from (\S+) import (.+)$", example, re.MULTILINE):
        for name in names.split(", "):
            assert hasattr(importlib.import_module(module), name), f"{module} has no {name}"


@pytest.mark.slow
def test_the_example_runs(tmp_path):
    from PIL import Image
    from sklearn.datasets import load_digits

    digits = load_digits()
    for number, (image, label) in enumerate(zip(digits.images[:150], digits.target, strict=False)):
        folder = tmp_path / "photos" / str(label % 2)
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray((image * 15).astype("uint8")).save(folder / f"{number}.png")
    (example,) = blocks("library.md", "python")
    (tmp_path / "example.py").write_text(example)
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "GAN_CACHE": str(tmp_path / "cache")}
    for _ in range(2):  # the second one finds what the first one made
        said = subprocess.run(
            [sys.executable, "example.py"],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
        )
        assert said.returncode == 0, said.stderr
        assert "torch.Size([100, 1, 16, 16]) torch.uint8" in said.stdout
        assert re.search(r"^0 +1 +first +\d+", said.stdout, re.MULTILINE)


@pytest.mark.slow
def test_the_site_is_built_without_a_warning_and_asks_for_nothing(tmp_path):
    built = subprocess.run(
        [sys.executable, "-m", "sphinx", "--fail-on-warning", "--keep-going", "--quiet"]
        + ["--doctree-dir", str(tmp_path / "doctrees"), "docs", str(tmp_path / "site")],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
    )
    assert built.returncode == 0, built.stdout + built.stderr
    pages = list((tmp_path / "site").rglob("*.html"))
    assert {"index.html", "training.html", "search.html"} <= {page.name for page in pages}
    assert "train_gan" in (tmp_path / "site/api/gan_core.training.html").read_text()
    assert "train_gan" in (tmp_path / "site/searchindex.js").read_text()
    loaded = re.compile(r'<(?:script|img|iframe|source)[^>]*\ssrc="([^"]+)"|<link[^>]*\shref="([^"]+)"')
    for page in [*pages, *(tmp_path / "site").rglob("*.css")]:
        text = page.read_text()
        asked = [a or b for a, b in loaded.findall(text)] + re.findall(r"url\(([^)]*)\)", text)
        assert not [place for place in asked if re.match(r"['\"]?(https?:)?//", place)], page


def test_every_hostile_input_of_the_safety_page_has_its_test():
    named = re.findall(r"\| `(tests/\S+?)::(\w+)` \|", (DOCS / "safety.md").read_text())
    rows = [line for line in (DOCS / "safety.md").read_text().splitlines() if "`tests/" in line]
    assert len(named) == len(rows) > 10
    for file, name in named:
        assert f"def {name}(" in (REPOSITORY / file).read_text(), f"{file} has no {name}"
