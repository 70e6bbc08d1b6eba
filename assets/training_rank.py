"""One of the processes of a training that the step starts: `python -m assets.training_rank`."""

import contextlib
import json
import os
import sys
from pathlib import Path

from dagster_pipes import PipesContext, open_dagster_pipes

from gan_core import signals
from gan_core.errors import GanError
from gan_core.store import Store
from gan_core.training.processes.launch import leave_word
from gan_core.training.task import TrainingTask


def main() -> int:
    """Train with the others, until the end or until the step's process is gone. The exit status."""
    is_first = os.environ["RANK"] == "0"
    with open_dagster_pipes() if is_first else contextlib.nullcontext() as pipes:
        try:
            _train(pipes)
        except GanError as error:
            leave_word(error)
            return 2
        except KeyboardInterrupt as interrupt:
            leave_word(interrupt)
            signals.end(130)
            return 130
    return 0


def _train(pipes: PipesContext | None) -> None:
    from gan_core.training.processes.joining import joined
    from gan_core.training.train import run_training

    with joined() as ranks:
        task, store = ranks.of_first(pipes and (pipes.get_extra("task"), pipes.get_extra("store")))
        run_training(
            Store(*store),
            TrainingTask.model_validate(task),
            emit=pipes.log.info if pipes else print,
            observe=(lambda snapshot: _observe(pipes, snapshot)) if pipes else None,
            ranks=ranks,
        )


def _observe(pipes: PipesContext, snapshot) -> None:
    from assets.observation import observation

    metadata = {name: getattr(value, "value", value) for name, value in observation(snapshot).items()}
    file = Path(pipes.get_extra("observations")) / f"{snapshot.images_seen}.json"
    file.write_text(json.dumps(metadata))
    pipes.report_custom_message({"observation": str(file)})


if __name__ == "__main__":
    sys.exit(main())
