"""The generator as an ONNX file, compared with the one in PyTorch before anyone gets it.

Format: https://onnx.ai. Input `z` float32 (batch, latent size) and, of a conditional generator, `labels`
int64 (batch,); output `images` float32 (batch, C, H, W) in the generator's range.
"""

import contextlib
import io
import logging
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gan_core import signals
from gan_core.errors import GanError
from gan_core.progress import Progress
from gan_core.sampling import BATCH_SIZE, images_of, latent_batches

logger = logging.getLogger("gan_core")
# Between the images of both, whose values span 1 or 2: a fortieth of a grey level.
TOLERANCE = 1e-4
COMPARED = 1_024
PACKAGES = ("onnx", "onnxscript", "onnxruntime")


def require_packages(*names: str) -> None:
    """Raise `GanError` where a package that bundles need is not installed."""
    import importlib.util

    missing = [name for name in names if importlib.util.find_spec(name) is None]
    if missing:
        raise GanError(
            f"{', '.join(missing)} is not installed, which bundles need: "
            "`pip install huggingface-hub onnx onnxruntime onnxscript`"
        )


def write_onnx(
    generator: nn.Module,
    path: Path,
    seed: int,
    emit: Callable[[str], None] = logger.info,
    compared: int = COMPARED,
) -> dict[str, Any]:
    """Write the generator's ONNX file; return what is to be known of it: `opset`, `inputs`, `image_range`,
    `compared` (how many images) and `largest_difference` from PyTorch's images.

    Raises `GanError`, and leaves no file, where the images of both differ by more than `TOLERANCE`.
    """
    import onnx

    generator = generator.cpu()
    emit("writing the generator as ONNX")
    model = _without_traces(_exported(generator))
    path.write_bytes(model.SerializeToString())
    try:
        onnx.checker.check_model(str(path))
        largest = largest_difference(generator, path, compared, seed, emit)
        if not largest <= TOLERANCE:
            raise GanError(
                f"the ONNX file's images differ from PyTorch's by {largest:.2g}, more than {TOLERANCE:g}: "
                "it is not exported; install the onnx and onnxruntime that requirements.lock names"
            )
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return {
        "opset": next(item.version for item in model.opset_import if item.domain in ("", "ai.onnx")),
        "inputs": [item.name for item in model.graph.input],
        "image_range": list(generator.image_range),
        "compared": compared,
        "largest_difference": largest,
    }


def largest_difference(
    generator: nn.Module, path: Path, count: int, seed: int, emit: Callable[[str], None] = logger.info
) -> float:
    """The largest difference of a value between `count` images of the generator and of its ONNX file, in the
    generator's range; of classes in turn, in batches of different sizes. NaN where one gives NaN.

    Raises `GanError` where onnxruntime cannot read the file.
    """
    import onnxruntime

    generator = generator.cpu()
    try:
        # By its bytes: a model that is read by its path may name other files.
        session = onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
        progress = Progress("comparing the ONNX file with PyTorch", count, emit=emit)
        differences = [torch.zeros(())]
        for z, labels in _inputs(generator, count, seed):
            feed = {"z": z.numpy()} | ({} if labels is None else {"labels": labels.numpy()})
            (images,) = session.run(["images"], feed)
            expected = images_of(generator, z, labels)
            differences.append((torch.from_numpy(images) - expected).abs().max())
            progress.advance(len(z))
    except GanError:
        raise
    except (RuntimeError, ValueError) as error:  # and what onnxruntime derives from them
        raise GanError(f"onnxruntime cannot run {path.name}: {_first_line(error)}") from error
    except Exception as error:
        if type(error).__module__.startswith("onnxruntime"):
            raise GanError(f"onnxruntime cannot run {path.name}: {_first_line(error)}") from error
        raise
    return float(torch.stack(differences).max())


def _inputs(generator: nn.Module, count: int, seed: int) -> Iterator[tuple[Tensor, Tensor | None]]:
    start = 0
    for z in latent_batches(generator, count, seed, BATCH_SIZE):
        for part in z.split([1, len(z) - 1]) if len(z) > 1 else [z]:
            numbers = torch.arange(start, start + len(part))
            yield part, numbers % generator.n_classes if generator.n_classes else None
            start += len(part)


def _exported(generator: nn.Module):
    """The model, its batch of any size."""
    names = ["z", "labels"] if generator.n_classes else ["z"]
    example = (torch.zeros(2, generator.latent.size), torch.zeros(2, dtype=torch.int64))[: len(names)]
    # The exporter tries several ways, and takes an interrupt of one for a failure of it.
    with signals.let_through(), _quietly():
        batch = torch.export.Dim("batch")
        program = torch.onnx.export(
            generator,
            example,
            input_names=names,
            output_names=["images"],
            dynamic_shapes=tuple({0: batch} for _ in names),
            dynamo=True,
            verbose=False,
        )
    return program.model_proto


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """The exporter warns of its own names, and prints."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield


def _without_traces(model):
    """Without what the exporter notes of the code that it went through: paths of this machine."""
    graphs = [model.graph, *model.functions]
    for graph in graphs:
        for item in [graph, *graph.node, *getattr(graph, "input", []), *getattr(graph, "output", [])]:
            for field in ("metadata_props", "doc_string"):
                with contextlib.suppress(
                    ValueError
                ):  # not every one has it; the inputs of functions are names
                    if hasattr(item, "ClearField"):
                        item.ClearField(field)
    for item in [*model.graph.value_info, *model.graph.initializer]:
        item.ClearField("metadata_props")
        item.ClearField("doc_string")
    model.ClearField("metadata_props")
    return model


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:300]
