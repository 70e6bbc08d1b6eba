"""What a partition is, shown before it runs: its configuration in words, as YAML, and as tags of its runs.

Dagster has no place for a description of a partition. An observation of the partition is one: it costs a row
in the event log, is read on the asset's tab *Events* (the tab *Partitions* only shows what runs have
recorded), and makes nothing.
"""

import hashlib
import json
import textwrap
from typing import Any, Literal

import dagster as dg
from tabulate import tabulate

from gan_core.config import Configs, Dataset, Experiment, Sweep
from gan_core.config.yaml_files import as_yaml, shown
from gan_core.evaluation.figures import escape_markdown
from gan_core.secrets import hidden, masked_in

PartitionSet = Literal["datasets", "experiments", "sweeps"]
# Where the partitions of each set are described: the first asset that is made of the configuration.
DESCRIBED = {"datasets": "raw_images", "experiments": "trained_gan", "sweeps": "sweep"}

DESCRIPTION_WIDTH = 120
AT_ONCE = 100


def tags_of(configs: Configs, kind: PartitionSet, name: str) -> dict[str, str]:
    """What a partition's runs are filtered by: of an experiment its dataset, architecture, objective and
    seed, and what its grid or sweep varies, by dotted key; of a dataset or a sweep its name. Nothing of an
    unknown partition."""
    if name not in getattr(configs, kind):
        return {}
    if kind == "datasets":
        return {"dataset": name}
    if kind == "sweeps":
        return {"sweep": name}
    experiment = configs.experiment(name)
    return {
        **({"sweep": configs.sweep_of[name]} if name in configs.sweep_of else {}),
        "dataset": experiment.dataset,
        "architecture": experiment.architecture.name,
        "objective": experiment.objective.name,
        "seed": str(experiment.seed),
        **{key: _in_words(value) for key, value in configs.grid_point(name).items()},
    }


def description_of(configs: Configs, kind: PartitionSet, name: str) -> dict[str, Any]:
    """A partition's configuration as metadata: its description, tags, file, and YAML.

    `configuration` has what is not the default, `configuration_in_full` every key. The secrets of URLs are
    hidden.
    """
    item: Dataset | Experiment | Sweep = getattr(configs, kind)[name]
    words = {"description": hidden(item.description)} if item.description else {}
    file = configs.files.get(f"{kind}/{name}")
    place = {"file": dg.MetadataValue.path(shown(file))} if file else {}
    chosen = item.model_dump(mode="json", exclude_defaults=True, exclude={"description"})
    return {
        **words,
        **tags_of(configs, kind, name),
        "configuration": _yaml(chosen),
        "configuration_in_full": _yaml(item.model_dump(mode="json")),
        **place,
    }


def new_descriptions(configs: Configs, told: dict[str, str]) -> list[dg.AssetObservation]:
    """An observation for each partition whose configuration `told` does not have yet, by partition and
    digest; `told` then has it, and nothing of a partition that is gone. At most `AT_ONCE`: the next look goes
    on, as a look must be quick."""
    observations = []
    digests = {
        f"{kind}/{name}": _digest(item) for kind in DESCRIBED for name, item in getattr(configs, kind).items()
    }
    new = [key for key, digest in digests.items() if told.get(key) != digest]
    for key in new[:AT_ONCE]:
        kind, name = key.split("/")
        metadata = description_of(configs, kind, name)
        observations.append(dg.AssetObservation(DESCRIBED[kind], partition=name, metadata=metadata))
        told[key] = digests[key]
    for key in told.keys() - digests.keys():
        del told[key]
    return observations


def overview(configs: Configs) -> dg.MarkdownMetadataValue:
    """Every experiment in one table: what sets it apart from the others of its file, and what it is."""
    rows = [
        {
            "experiment": name,
            "varies": ", ".join(
                f"{key} {_in_words(value)}" for key, value in configs.grid_point(name).items()
            ),
            "dataset": item.dataset,
            "architecture": item.architecture.name,
            "objective": item.objective.name,
            "description": textwrap.shorten(hidden(item.description), DESCRIPTION_WIDTH, placeholder=" …"),
        }
        for name, item in configs.experiments.items()
    ]
    cells = [{heading: escape_markdown(text) for heading, text in row.items()} for row in rows]
    return dg.MetadataValue.md(tabulate(cells, headers="keys", tablefmt="pipe") or "none")


def _in_words(value: Any) -> str:
    return "-".join(map(str, value)) if isinstance(value, list) else str(value)


def _yaml(content: dict[str, Any]) -> dg.MarkdownMetadataValue:
    return dg.MetadataValue.md(f"```yaml\n{as_yaml(masked_in(content))}```")


def _digest(item: Dataset | Experiment | Sweep) -> str:
    return hashlib.sha256(json.dumps(item.model_dump(mode="json")).encode()).hexdigest()[:12]
