"""The page of a sweep that searched: how its trials ended, which is best, what matters."""

import optuna
import pytest

from gan_core.config import load_configs, trial_maker
from gan_core.config.trials import NOT_SEARCHED
from gan_core.report.families import families
from gan_core.report.pages.sweeps import pages
from gan_core.report.views.search import search_view
from gan_core.report.views.sweeps import sweep_view
from gan_core.sweeps.running import write_trials
from gan_core.sweeps.study import Study
from gan_core.sweeps.summary import publish_sweep
from tests.gan_core.report.pages.test_sweeps import COMMON, Sweep
from tests.small_project import write_config

SEARCH = {
    "name": "search",
    "base": "plain",
    "space": {
        "optimizers.generator.learning_rate": {"low": 1e-4, "high": 1e-2, "log": True},
        "latent.size": {"choices": [8, 64]},
    },
    "trials": 6,
    "sampler": "random",
}


@pytest.fixture
def searched(tmp_path, workshop) -> Sweep:
    """Five trials are measured, their FID is a thousand times their rate, and the last was pruned."""
    sweep = Sweep(tmp_path, workshop, {"batch_size": [32, 128]})
    write_config(sweep.folder, {"name": "plain", **COMMON})
    write_config(sweep.folder, SEARCH)
    study = Study(trial_maker(load_configs(sweep.folder), "search"), optuna.storages.InMemoryStorage())
    chosen = [study.next() for _ in range(6)]
    write_trials(sweep.folder, study.configured())
    sweep.configs = load_configs(sweep.folder)
    assert not sweep.configs.mistakes and set(SEARCH["space"]).isdisjoint(NOT_SEARCHED)
    for trial in chosen[:5]:
        fid = 1000 * trial.values["optimizers.generator.learning_rate"]
        sweep.measure(trial.name, fid)
        study.told(trial, fid, 0)
    study.pruned(chosen[5])
    manifest = publish_sweep(sweep.store, study)
    assert publish_sweep(sweep.store, study).reused
    assert len(manifest.inputs) == 5
    rows = sweep.store.local(manifest, "trials.csv").read_text().splitlines()
    assert len(rows) == 7 and rows[0].startswith("trial,state,fid,demotion,optimizers.generator")
    return sweep


def test_the_page_says_how_the_search_ended_and_what_matters(searched):
    site = searched.site
    (family,) = [one for one in families(site.configs) if one.sweep == "search"]
    assert family.name == "search" and len(family.points) >= 6
    view = search_view(site, family)
    assert view.summary.startswith(
        "A search (random) of 6 trials: 5 done, 1 pruned, 0 unfinished. The best FID"
    )
    assert view.importances[0][0] == "optimizers generator learning rate"
    shown = sweep_view(site, family)
    assert shown.notes == []  # no word of combinations that were not chosen
    # What was pruned is not missing, and is not to be trained after all.
    (pruned,) = [name for _, name in shown.pruned]
    assert pruned not in shown.command and pruned not in str(shown.missing)
    page = next(page for page in pages(site) if page.path == "sweeps/search.html")
    text = page.render().decode()
    assert view.summary in text and "Optimizers generator learning rate" in text
    assert "<h2>Pruned</h2>" in text and f'<td class="wrap">{pruned}</td>' in text


def test_a_grid_has_no_search(searched):
    site = searched.site
    (grid,) = [one for one in families(site.configs) if one.name == "swept"]
    assert search_view(site, grid) is None
