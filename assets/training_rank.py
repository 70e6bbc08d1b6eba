"""One of the processes that torchrun starts for a training: `python -m assets.training_rank <step's pid>`."""

import contextlib
import json
import os
import sys
from pathlib import Path

from dagster_pipes import PipesContext, open_dagster_pipes

from gan_core.errors import GanError
from gan_core.store import Store
from gan_core.training.task import TrainingTask


def main(step_process: int) -> int:
    """Train with the others, until the end or until the step's process is gone. The exit status."""
    is_first = os.environ["RANK"] == "0"
    with open_dagster_pipes() if is_first else contextlib.nullcontext() as pipes:
        try:
            _train(pipes, step_process)
        except GanError as error:
            print(f"process {os.environ['RANK']}: {type(error).__name__}: {error}", file=sys.stderr)
            if pipes:
                pipes.report_custom_message({"error": str(error)})
            return 2
        except KeyboardInterrupt as interrupt:
            if pipes:
                notes = getattr(interrupt, "__notes__", [])
                pipes.report_custom_message({"error": ". ".join(["its processes were interrupted", *notes])})
            return 130
    return 0


def _train(pipes: PipesContext | None, step_process: int) -> None:
    from gan_core.training.processes.torchrun import joined
    from gan_core.training.train import run_training

    with joined(launched_by=step_process) as ranks:
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
    sys.exit(main(int(sys.argv[1])))
