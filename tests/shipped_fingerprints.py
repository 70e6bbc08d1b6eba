"""What the fingerprints of all shipped configurations are made of, against a record of what they were.

`python -m tests.shipped_fingerprints "why"` records what has changed, and why, in `docs/fingerprints.md`.
What is new is recorded without a reason.
"""

import datetime
import json
import re
import sys
from pathlib import Path
from typing import Any

from gan_core import steps
from gan_core.config import Dataset, Experiment, load_configs
from gan_core.store import Manifest, fingerprint

REPOSITORY = Path(__file__).parents[1]
RECORD = REPOSITORY / "tests" / "fingerprints.json"
CHANGES = REPOSITORY / "docs" / "fingerprints.md"
ENTRY = re.compile(r"(?m)^(?P<number>\d+)\. (?P<date>\S+) `(?P<digest>[0-9a-f]{16})`: (?P<why>\S.*)$")
NEW = "0"  # recorded when it was new: no change, so no reason
NOTHING = object()  # of what is not in the record; None may be a value

# By kind (an asset, or the keys of a file) and name: the value after each entry of the changes.
Record = dict[str, dict[str, dict[str, Any]]]


def shipped() -> dict[str, dict[str, Any]]:
    """Of every shipped experiment and dataset what its fingerprints are made of, inputs apart, as a hash; and
    of every key what its absence means."""
    configs = load_configs(REPOSITORY / "configs")
    made = Manifest(asset="", partition="", fingerprint="", code_version="", config={}, inputs={})
    of_dataset = [(dataset.name, dataset) for dataset in configs.datasets.values()]
    return {
        "trained_gan": {
            name: _hash(steps.trained_gan(item, made)) for name, item in configs.experiments.items()
        },
        "image_shards": {name: _hash(steps.image_shards(item, made)) for name, item in of_dataset},
        "classifier": {name: _hash(steps.classifier(item, made)) for name, item in of_dataset},
        "absent keys of an experiment": _absences(Experiment),
        "absent keys of a dataset": _absences(Dataset),
    }


def differences(now: dict[str, dict[str, Any]], record: Record) -> list[tuple[str, str, Any]]:
    """(kind, name, value) of what the record has otherwise or not at all."""
    return [
        (kind, name, value)
        for kind, values in now.items()
        for name, value in values.items()
        if _last(record.get(kind, {}).get(name)) != value
    ]


def problems(now: dict[str, dict[str, Any]], record: Record, changes: str) -> list[str]:
    """What of a record is not as it should be, in words."""
    entries = {entry["number"]: entry for entry in ENTRY.finditer(changes)}
    found = [f"{kind} {name} is not what the record says" for kind, name, _ in differences(now, record)]
    cited = {number for names in record.values() for values in names.values() for number in values} - {NEW}
    found += [f"change {number} has no line that says why" for number in sorted(cited - entries.keys())]
    found += [
        f"change {number} is not what its line was written for"
        for number, entry in entries.items()
        if entry["digest"] != digest(record, number)
    ]
    return found


def digest(record: Record, number: str) -> str:
    """Of everything that an entry of the changes stands for."""
    values = [
        [kind, name, values[number]]
        for kind, names in sorted(record.items())
        for name, values in sorted(names.items())
        if number in values
    ]
    return fingerprint({"values": values}, {}, "")[:16]


def recorded(now: dict[str, dict[str, Any]], record: Record, changes: str, why: str) -> tuple[Record, str]:
    """The record and the text of the changes, with what has changed; an empty record changes in everything.

    `ValueError` for a change without a reason.
    """
    first = not record
    record = json.loads(json.dumps(record))
    number = str(1 + max((int(entry["number"]) for entry in ENTRY.finditer(changes)), default=0))
    changed = []
    for kind, name, value in differences(now, record):
        known = record.setdefault(kind, {}).setdefault(name, {})
        if known or first:
            changed.append(f"{kind} {name}")
        known[number if known or first else NEW] = value
    if not changed:
        return record, changes
    if not why.strip():
        raise ValueError(f"say why these change: {', '.join(changed)}")
    today = datetime.date.today().isoformat()
    return record, f"{changes.rstrip()}\n{number}. {today} `{digest(record, number)}`: {why.strip()}\n"


def read() -> tuple[Record, str]:
    return json.loads(RECORD.read_text()), CHANGES.read_text(encoding="utf-8")


def _last(values: dict[str, Any] | None) -> Any:
    return values[max(values, key=int)] if values else NOTHING


def _hash(step: steps.Step) -> str:
    return fingerprint(step.counts, {}, step.code_version)[:16]


def _absences(model: type[Experiment] | type[Dataset]) -> dict[str, Any]:
    return json.loads(json.dumps(model.absences()))


if __name__ == "__main__":
    new_record, new_changes = recorded(shipped(), *read(), why=" ".join(sys.argv[1:]))
    RECORD.write_text(json.dumps(new_record, indent=1, sort_keys=True) + "\n")
    CHANGES.write_text(new_changes, encoding="utf-8")
