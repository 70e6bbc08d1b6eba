"""The browser libraries that the report's pages carry inside them (`vendor/README.md` says what they are)."""

import functools
from importlib import resources

VENDOR = resources.files("gan_core.report") / "vendor"


def plot_script() -> str:
    """Observable Plot as a classic script that sets the global `Plot`; may stand inside `<script>`."""
    return _text("plot.min.js")


def onnx_runtime_script() -> str:
    """ONNX Runtime for browsers as a classic script that sets the global `ort`; may stand inside `<script>`.

    It fetches nothing where `ort.env.wasm.wasmBinary` has the bytes of `onnx_runtime_wasm`, decompressed, and
    `ort.env.wasm.numThreads` is 1. With `ort.env.logLevel` of "error" it does not warn of a processor that
    WebAssembly cannot know.
    """
    return _text("onnx-runtime.min.js")


def onnx_runtime_wasm() -> bytes:
    """The WebAssembly that `onnx_runtime_script` runs, compressed by gzip as it is stored."""
    return (VENDOR / "onnx-runtime.wasm.gz").read_bytes()


@functools.cache
def _text(name: str) -> str:
    return (VENDOR / name).read_text(encoding="utf-8")
