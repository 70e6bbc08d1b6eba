"""One YAML file: whatever is in it ends in one clear line, soon, and takes nothing else down."""

import os
import socket

import pytest

from gan_core.config import load_configs
from tests.small_configs import EXPERIMENT, text_of

LAUGHS = "a0: &a0 [ha, ha, ha, ha, ha, ha, ha, ha, ha, ha]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 10)
)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("name: [", ":1: not valid YAML: expected"),
        ("name: x\n\tseed: 1", ":2: not valid YAML: "),
        ("name: x\nlatent:\n  size: 5\n  size: 6\n", ':4: found duplicate key "size" with value "6"'),
        ("- a\n- b\n", ": must be a mapping of keys to values"),
        ("", ": must be a mapping of keys to values"),
        ("name: x\n---\nname: y\n", ":2: not valid YAML: but found another document"),
        ("name: !!python/object/apply:os.system [ls]\n", ":1: not valid YAML: could not determine"),
        ("name: *nothing\n", ":1: not valid YAML: found undefined alias"),
        ("name: x\nseed: 2020-13-45\n", ": not valid YAML: month must be in 1..12"),
        ("name: x\nseed: !!bool 3\n", ": not valid YAML: '3'"),
        ("name: x\n'a[b]': 3\n", ":2: unknown key `a[b]`"),
        ("name: a\x00b\n", ": not valid YAML: unacceptable character #x0000"),
        (b"name: \xff\xfe\n", ": is not UTF-8 text: invalid start byte at byte 6: save it as UTF-8"),
        ("[" * 3000, ": is nested too deeply: a configuration has at most 30 levels"),
        ("name: " + "[" * 40 + "]" * 40, ":1: is nested too deeply"),
        ("name: x\nseed: " + "9" * 5000, ":2: a number of 5,000 digits: numbers have at most 100"),
        ("name: x\nseed: 0x" + "f" * 5000, ":2: a number of 5,002 digits"),
        ("name: x\nlatent: &l\n  size: *l\n", ":2: an alias stands inside of what it refers to"),
        (LAUGHS, "with its aliases written out this is 111,111 values: a configuration has at most 20,000"),
        ("name: x # " + "x" * 70_000, ": has 70,010 bytes: a configuration has at most 65,536"),
        ("? [1, 2]\n: 3\n", "name"),
        ("1: 2\n", "name"),
    ],
    ids=lambda value: str(value)[:30],
)
@pytest.mark.timeout(60)  # a hang, or work that multiplies, takes far longer
def test_what_is_no_configuration_is_one_clear_line(folder, content, expected):
    path = folder / "experiments" / "bad.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    configs = load_configs(folder)
    assert list(configs.experiments) == ["first"]
    assert [mistake.path for mistake in configs.mistakes] == [path]
    message = configs.mistakes[0].message
    assert expected in message
    assert all(line.startswith(str(path)) for line in message.splitlines())
    assert len(message) < 2_000


@pytest.mark.timeout(60)
def test_what_is_no_file_is_said_and_never_waited_for(folder):
    places = {name: folder / "experiments" / f"{name}.yaml" for name in ("pipe", "folder", "socket", "gone")}
    os.mkfifo(places["pipe"])
    places["folder"].mkdir()
    os.symlink("nowhere", places["gone"])
    with socket.socket(socket.AF_UNIX) as server:
        here = os.open(".", os.O_RDONLY)
        os.chdir(places["socket"].parent)  # the path of a socket may not be long
        try:
            server.bind(places["socket"].name)
        finally:
            os.chdir(here)
            os.close(here)
        found = {mistake.path: mistake.message for mistake in load_configs(folder).mistakes}
    assert set(found) == set(places.values())
    assert "is a pipe, socket or device, not a file" in found[places["pipe"]]
    assert "is a pipe, socket or device, not a file" in found[places["socket"]]
    assert "is a folder, not a file" in found[places["folder"]]
    assert "cannot be read: No such file" in found[places["gone"]]


def test_a_file_that_may_not_be_read_is_said(folder, monkeypatch):
    """As root every file may be read, so the refusal is the file system's in name only."""
    path = folder / "experiments" / "secret.yaml"
    path.write_text(EXPERIMENT)
    read = type(path).read_text

    def refuse(self, *given, **options):
        if self == path:
            raise PermissionError(13, "Permission denied", str(path))
        return read(self, *given, **options)

    monkeypatch.setattr(type(path), "read_text", refuse)
    assert text_of(load_configs(folder)) == f"{path}: cannot be read: Permission denied"


def test_hidden_files_are_no_configurations(folder):
    for name in (".#first.yaml", "._first.yaml", ".yaml"):
        (folder / "experiments" / name).write_bytes(b"\x00\x05\x16\x07 of an editor or another system")
    configs = load_configs(folder)
    assert list(configs.experiments) == ["first"]
    assert configs.mistakes == ()


def test_a_file_name_that_is_not_utf_8_can_be_printed(folder):
    name = os.path.join(os.fsencode(folder), b"experiments", b"caf\xe9.yaml")
    with open(name, "wb") as file:
        file.write(b"name: [")
    message = text_of(load_configs(folder))
    assert "caf\\xe9.yaml:1: not valid YAML" in message
    message.encode()


def test_aliases_and_merges_may_be_used(folder):
    (folder / "experiments" / "second.yaml").write_text(
        "name: second\ndataset: tiny\nlength: {images: 100}\noptimizers:\n"
        "  generator: &adam {learning_rate: 1e-3, betas: [0, 0.9]}\n"
        "  discriminator:\n    <<: *adam\n    learning_rate: 2.0e-3\n"
    )
    configs = load_configs(folder)
    assert configs.mistakes == ()
    optimizers = configs.experiments["second"].optimizers
    assert (optimizers.generator.learning_rate, optimizers.discriminator.learning_rate) == (1e-3, 2e-3)
    assert optimizers.discriminator.betas == (0, 0.9)


@pytest.mark.parametrize(
    ("given", "seed"), [("1e3", 1000), ("010", 10), ("0o10", 8), ("0x10", 16), ("1_000", 1000)]
)
def test_numbers_are_those_of_yaml_1_2(folder, given, seed):
    (folder / "experiments" / "first.yaml").write_text(f"{EXPERIMENT}seed: {given}\n")
    assert load_configs(folder).experiments["first"].seed == seed
