import gzip
import hashlib
import json
import re

import pytest

from gan_core.report.vendored import VENDOR, onnx_runtime_script, onnx_runtime_wasm, plot_script

README = (VENDOR / "README.md").read_text(encoding="utf-8")
FILES = re.findall(r"^\| `(.+)` \| ([\d,]+) \| `([0-9a-f]{64})` \|$", README, flags=re.MULTILINE)
PACKAGES = re.findall(r"^\| (\S+) \| ([\d.]+) \| (?:MIT|ISC) \|$", README, flags=re.MULTILINE)


def test_the_readme_lists_every_built_file():
    built = {
        item.name for item in VENDOR.iterdir() if re.search(r"\.min\.js$|\.wasm\.gz$|LICENCES", item.name)
    }
    assert {name for name, _, _ in FILES} == built
    assert len(built) == 4


@pytest.mark.parametrize(("name", "size", "sha256"), FILES)
def test_a_built_file_is_the_one_that_the_readme_names(name, size, sha256):
    content = (VENDOR / name).read_bytes()
    assert (len(content), hashlib.sha256(content).hexdigest()) == (int(size.replace(",", "")), sha256)


def test_packages_have_the_versions_that_package_json_names_and_their_licences():
    pinned = json.loads((VENDOR / "package.json").read_text(encoding="utf-8"))
    versions = pinned["dependencies"] | pinned["overrides"]
    licences = (VENDOR / "LICENCES.txt").read_text(encoding="utf-8")
    assert {name for name, _ in PACKAGES} >= {"@observablehq/plot", "d3-scale", "onnxruntime-web"}
    for name, version in PACKAGES:
        assert versions[name] == version
        assert f"{name} {version}\n\n" in licences


@pytest.mark.parametrize("script", [plot_script, onnx_runtime_script])
def test_a_script_may_stand_inside_a_page(script):
    text = script()
    assert not re.search(r"</script|<!--|<script", text, flags=re.IGNORECASE)
    assert not re.search(r"\beval\(|new Function\b|\bFunction\(", text)  # of which no policy need know


def test_the_webassembly_is_stored_compressed_and_whole():
    assert gzip.decompress(onnx_runtime_wasm()).startswith(b"\0asm")
