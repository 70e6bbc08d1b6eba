"""One YAML file, read safely: what it holds, and the line of every key."""

import io
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.constructor import DuplicateKeyError
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from gan_core.errors import ConfigError

# Far beyond any configuration, and read within a second or two.
MOST_BYTES = 64 * 1024
MOST_NODES = 20_000  # with what aliases repeat
DEEPEST = 30
LONGEST_NUMBER = 100


class Document:
    """A parsed YAML 1.2 file that remembers the line of every key.

    `data` is its mapping. Raises `ConfigError` for what is no readable file of such a mapping: no file at all
    (a folder, a pipe), not UTF-8, not YAML, a key given twice, aliases that multiply or refer to themselves,
    too large, too deep. What `may_be_empty` (all in it is commented out) is then an empty mapping.
    """

    def __init__(self, path: Path, *, may_be_empty: bool = False):
        self.path = Path(path)
        self.name = shown(path)
        text = self._read()
        loader = YAML(typ="safe", pure=True)
        try:
            self.root = loader.compose(text)
            if self.root is None and may_be_empty:
                self.root = loader.compose("{}")
            if not isinstance(self.root, MappingNode):
                first = "" if may_be_empty else ", beginning with `name:`"
                raise ConfigError(f"{self.name}: must be a mapping of keys to values{first}")
            self._measure(self.root, 1, {}, set())
            self.data: dict[str, Any] = loader.constructor.construct_document(self.root)
        except DuplicateKeyError as error:
            line = error.problem_mark.line + 1
            raise ConfigError(f"{self.name}:{line}: {error.problem}: remove one of them") from error
        except MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else 1
            raise ConfigError(f"{self.name}:{line}: not valid YAML: {error.problem}") from error
        except YAMLError as error:
            raise ConfigError(f"{self.name}: not valid YAML: {_in_one_line(error)}") from error
        except RecursionError:
            raise ConfigError(f"{self.name}: {TOO_DEEP}") from None
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            # What ruamel.yaml makes of a value that does not fit its tag: a month 13, `!!bool 3`.
            raise ConfigError(f"{self.name}: not valid YAML: {_in_one_line(error)}") from error

    def at(self, *keys: str | int) -> str:
        """`file:line` of the deepest part of `keys` that is in the file."""
        node, line = self.root, self.root.start_mark.line
        dotted = ".".join(map(str, keys))
        for section in ("grid", "space"):  # which name their keys in one piece
            named = _children(_children(node).get(section, (0, None))[1])
            if dotted in named:
                return f"{self.name}:{named[dotted][0] + 1}"
        for key in keys:
            children = _children(node)
            if key not in children:
                break
            line, node = children[key]
        return f"{self.name}:{line + 1}"

    def _read(self) -> str:
        try:
            status = self.path.stat()
            if not stat.S_ISREG(status.st_mode):  # to open a pipe would wait for ever
                kind = "a folder" if stat.S_ISDIR(status.st_mode) else "a pipe, socket or device"
                raise ConfigError(f"{self.name}: is {kind}, not a file: remove it, or give it another ending")
            if status.st_size > MOST_BYTES:
                raise ConfigError(
                    f"{self.name}: has {status.st_size:,} bytes: a configuration has at most {MOST_BYTES:,}"
                )
            return self.path.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise ConfigError(
                f"{self.name}: is not UTF-8 text: {error.reason} at byte {error.start:,}: save it as UTF-8"
            ) from error
        except OSError as error:
            raise ConfigError(f"{self.name}: cannot be read: {error.strerror or error}") from error

    def _measure(self, node: Node, depth: int, known: dict[int, int], above: set[int]) -> int:
        """The number of nodes with aliases written out. Refuses what no later step should have to survive."""
        at = f"{self.name}:{node.start_mark.line + 1}"
        if id(node) in above:
            raise ConfigError(f"{at}: an alias stands inside of what it refers to: write it out")
        if depth > DEEPEST:
            raise ConfigError(f"{at}: {TOO_DEEP}")
        if isinstance(node, ScalarNode):
            number = node.tag in ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
            if number and len(node.value) > LONGEST_NUMBER:
                raise ConfigError(
                    f"{at}: a number of {len(node.value):,} digits: numbers have at most {LONGEST_NUMBER}"
                )
            return 1
        if id(node) not in known:
            inside = above | {id(node)}
            parts = node.value
            if isinstance(node, MappingNode):
                parts = [part for pair in parts for part in pair]
            known[id(node)] = 1 + sum(self._measure(part, depth + 1, known, inside) for part in parts)
        if known[id(node)] > MOST_NODES:
            raise ConfigError(
                f"{at}: with its aliases written out this is {known[id(node)]:,} values: a configuration has "
                f"at most {MOST_NODES:,}"
            )
        return known[id(node)]


TOO_DEEP = f"is nested too deeply: a configuration has at most {DEEPEST} levels"


def as_yaml(content: Mapping[str, Any]) -> str:
    """JSON-like content as the text of a YAML file, in the order of its keys."""
    yaml = YAML()
    yaml.default_flow_style = False
    yaml.width = 100
    text = io.StringIO()
    yaml.dump(dict(content), text)
    return text.getvalue()


def shown(path: Path) -> str:
    """A path as text that any output takes; bytes of a name that are no UTF-8 as `\\xNN`."""
    return str(path).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _in_one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _children(node: Node | None) -> dict[str | int, tuple[int, Node]]:
    """Line (from 0) and node of each part of a mapping, by key, or of a list, by position."""
    if isinstance(node, MappingNode):
        return {
            key.value: (key.start_mark.line, value)
            for key, value in node.value
            if isinstance(key, ScalarNode)
        }
    if isinstance(node, SequenceNode):
        return {i: (item.start_mark.line, item) for i, item in enumerate(node.value)}
    return {}
