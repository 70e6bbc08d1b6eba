"""A training in several processes, on several GPUs: torchrun, started and watched through Dagster Pipes."""

import json
import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import dagster as dg
import psutil
from dagster._core.errors import DagsterPipesExecutionError  # dagster itself does not export it

from assets.observation import observe
from gan_core.errors import ConfigError, TrainingError
from gan_core.remedies import how_to_make
from gan_core.store import Manifest, Store
from gan_core.training.task import TrainingTask

PROCESSES = "GAN_PROCESSES"
RANK_MODULE = "assets.training_rank"
PACKAGES = Path(__file__).resolve().parents[1]
STOP_SECONDS = 40  # torchrun itself gives its processes 30 s


def number_of_processes(configured: int | None) -> int:
    """What the run configuration says, else GAN_PROCESSES, else 1. Raises `ConfigError` for no number."""
    given = os.environ.get(PROCESSES) or 1 if configured is None else configured
    with suppress(ValueError):
        if int(given) >= 1:
            return int(given)
    source = f"the environment variable {PROCESSES}" if configured is None else "`processes`"
    raise ConfigError(f"{source} is `{given}`: give the number of processes of a training, 1 or more")


def train_in_processes(
    context: dg.AssetExecutionContext, store: Store, task: TrainingTask, processes: int
) -> Manifest:
    """`run_training` as `processes` processes; returns what they published, or what was there already.

    Log lines and observations arrive while it trains. An interrupt goes on to all processes, which stop at
    the same step and save a checkpoint. In the end none of them is left.

    Raises `ConfigError` before anything starts where the task does not suit so many processes, and
    `TrainingError` where they fail.
    """
    task.check(processes)
    if not task.force and (found := task.step.reuse(store)):
        return found
    _start(context, store, task, processes)
    return store.require("trained_gan", task.experiment.name)


def _start(context: dg.AssetExecutionContext, store: Store, task: TrainingTask, processes: int) -> None:
    reader = _Reader(context)
    client = dg.PipesSubprocessClient(message_reader=reader, termination_timeout_seconds=STOP_SECONDS)
    command = [
        *(sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"),
        *("-m", RANK_MODULE, str(os.getpid())),
    ]
    try:
        with tempfile.TemporaryDirectory(prefix="observations-") as folder:
            client.run(
                context=context,
                command=command,
                env=_environment(processes),
                extras={
                    "task": task.model_dump(mode="json"),
                    "store": [store.url, str(store.cache)],
                    "observations": folder,
                },
            )
    except DagsterPipesExecutionError as error:
        reason = reader.reason or (
            "one of them was killed, for example because memory ran out (the step's error output has what "
            "torchrun says of it). To go on from its last checkpoint, "
            + how_to_make(task.step.asset, task.step.partition)
        )
        raise TrainingError(
            f"the training of `{task.experiment.name}` in {processes} processes failed: {reason}"
        ) from error
    finally:
        _end_processes()


def _environment(processes: int) -> dict[str, str]:
    """The modules are found from any folder; the processes share the cores."""
    import joblib

    path = os.pathsep.join(filter(None, (str(PACKAGES), os.environ.get("PYTHONPATH"))))
    threads = os.environ.get("OMP_NUM_THREADS") or str(max(1, joblib.cpu_count() // processes))
    return {"PYTHONPATH": path, "OMP_NUM_THREADS": threads}


def _end_processes() -> None:
    """Whatever is left: Pipes passes only Dagster's own interrupt on, and kills nobody that does not end."""
    left = [process for process in psutil.Process().children(recursive=True) if _is_ours(process)]
    for process in left:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGINT)
    _, alive = psutil.wait_procs(left, timeout=STOP_SECONDS)
    for process in alive:
        with suppress(psutil.NoSuchProcess):
            process.kill()


def _is_ours(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
        return RANK_MODULE in process.cmdline()
    return False


class _Reader(dg.PipesTempFileMessageReader):
    """Shows observations as they come, which Pipes has no message for, and keeps why a process failed.

    An observation is in a file that the message names: Pipes' reader stops at a line of which it sees a part
    before the rest is written, as happens to long ones.
    """

    def __init__(self, context: dg.AssetExecutionContext):
        super().__init__()
        self.context = context
        self.reason: str | None = None

    @contextmanager
    def read_messages(self, handler) -> Iterator[Any]:
        pass_on = handler.handle_message

        def handle(message) -> None:
            payload = (message.get("params") or {}).get("payload")
            if message["method"] != "report_custom_message":
                pass_on(message)
            elif "error" in payload:
                self.reason = payload["error"]
            else:
                self._show(Path(payload["observation"]))

        handler.handle_message = handle
        with super().read_messages(handler) as parameters:
            yield parameters

    def _show(self, file: Path) -> None:
        metadata = json.loads(file.read_text())
        file.unlink()
        texts = {name: dg.MetadataValue.md(text) for name, text in metadata.items() if isinstance(text, str)}
        observe(self.context, metadata | texts)
