"""A training in processes of its own, on several GPUs or by another machine's scheduler: started by the step,
speaking through Dagster Pipes."""

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import dagster as dg

from assets.observation import observe
from gan_core.device_leases import DEVICES, environment_of, leased_devices
from gan_core.errors import GanError, TrainingError
from gan_core.store import Manifest, Store
from gan_core.training.processes.launch import run_ranks, training_command
from gan_core.training.task import TrainingTask

RANK_MODULE = "assets.training_rank"


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
    name, command = task.experiment.name, training_command(processes)
    with (
        _devices(processes, name, command, context) as devices,
        tempfile.TemporaryDirectory(prefix="observations-") as folder,
        dg.open_pipes_session(
            context=context,
            context_injector=dg.PipesTempFileContextInjector(),
            message_reader=_Reader(context),
            extras={
                "task": task.model_dump(mode="json"),
                "store": [store.url, str(store.cache)],
                "observations": folder,
            },
        ) as session,
    ):
        try:
            told = session.get_bootstrap_env_vars() | environment_of(devices)
            if command:  # what gave it its GPU has a queue of its own
                told[DEVICES] = ""
            run_ranks(name, ["-m", RANK_MODULE], processes, told, command)
        except GanError as error:
            raise TrainingError(
                f"the training of `{name}` in {processes} processes failed: {error}"
            ) from error
    return store.require("trained_gan", name)


def _devices(processes: int, name: str, command: list[str], context: dg.AssetExecutionContext):
    """The GPUs of this machine; none where a command gives the training its own."""
    if command:
        return nullcontext([])
    return leased_devices(processes, f"trained_gan of `{name}`", context.log.info)


class _Reader(dg.PipesTempFileMessageReader):
    """Shows observations as they come, which Pipes has no message for.

    An observation is in a file that the message names: Pipes' reader stops at a line of which it sees a part
    before the rest is written, as happens to long ones.
    """

    def __init__(self, context: dg.AssetExecutionContext):
        super().__init__()
        self.context = context

    @contextmanager
    def read_messages(self, handler) -> Iterator[Any]:
        pass_on = handler.handle_message

        def handle(message) -> None:
            if message["method"] == "report_custom_message":
                self._show(Path(message["params"]["payload"]["observation"]))
            else:
                pass_on(message)

        handler.handle_message = handle
        with super().read_messages(handler) as parameters:
            yield parameters

    def _show(self, file: Path) -> None:
        metadata = json.loads(file.read_text())
        file.unlink()
        texts = {name: dg.MetadataValue.md(text) for name, text in metadata.items() if isinstance(text, str)}
        observe(self.context, metadata | texts)
