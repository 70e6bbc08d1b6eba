"""What came of the last look whether a dataset has a new champion. Imports no torch."""

import json
from dataclasses import asdict, dataclass, field

from gan_core.champions.reigns import ASSET
from gan_core.remedies import how_to_make
from gan_core.store import Store
from gan_core.store.manifest import json_object
from gan_core.store.reading import reading

RECORD = "last_look.json"


@dataclass(frozen=True)
class Check:
    """One check of a challenger: its name, whether it passed, and what was found, in words."""

    name: str
    passed: bool
    found: str


@dataclass(frozen=True)
class Look:
    """`at`: ISO 8601, UTC. `reason`: what came of it, in words. `experiment`, `row`: the challenger's, None
    where there is none. `passed_over`: by the rows that stand before it, why they cannot be promoted."""

    at: str
    promoted: bool
    reason: str
    experiment: str | None = None
    row: str | None = None
    checks: tuple[Check, ...] = ()
    passed_over: dict[str, str] = field(default_factory=dict)

    def check(self, name: str) -> Check | None:
        """A check of the challenger by its name; None where it was not made."""
        return next((check for check in self.checks if check.name == name), None)


def write_look(store: Store, dataset: str, look: Look) -> None:
    content = json.dumps(asdict(look), indent=1, ensure_ascii=False).encode()
    store.write_atomically(f"{ASSET}/{dataset}/{RECORD}", content)


def last_look(store: Store, dataset: str) -> Look | None:
    """None where there was none. A damaged record is a `DamagedError`."""
    path = f"{ASSET}/{dataset}/{RECORD}"
    text = store.read_bytes(path)
    if text is None:
        return None
    with reading(store.address(f"{store.root}/{path}"), how_to_make(ASSET, dataset)):
        told = json_object(text)
        return Look(**{**told, "checks": tuple(Check(**check) for check in told["checks"])})
