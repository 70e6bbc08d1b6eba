"""Processes that make the trials of a sweep: each takes one after the other, so that it imports PyTorch once.

A process reads a line of JSON words for each job on its standard input and answers with a line of JSON on
the pipe that it is told of (`serve`). Whatever it logs goes where the sweep's own lines go. When its input
ends, as it does with the sweep however that ends, so does the process, and its training saves a checkpoint.
"""

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from gan_core import signals, steps
from gan_core.config import Experiment
from gan_core.errors import GanError, StoreError
from gan_core.evaluation.figures import figure_of, is_missing
from gan_core.evaluation.judging.verdicts import demotion
from gan_core.planning.running import TrainingRecords
from gan_core.remedies import how_to_make
from gan_core.store import Store
from gan_core.store.reading import reading
from gan_core.training.records.tensorboard import tensorboard_folder

STOP_SECONDS = 120.0  # for a checkpoint; a training that is given up ends much earlier
LOOK_SECONDS = 0.1
AGAIN_SECONDS = 5.0  # an interrupt that arrives during garbage collection is lost
ANSWERS = "GAN_SWEEP_ANSWERS"
PACKAGES = Path(__file__).resolve().parents[2]
DONE, FAILED, REFUSED, INTERRUPTED = 0, 1, 2, 130


# --- in the process that makes trials ---------------------------------------------------------------------


def serve(run: Callable[[list[str]], str | None]) -> int:
    """Take jobs until there are no more; the exit status. `run` makes one, of its words, and gives None or
    why it failed; what is interrupted raises `KeyboardInterrupt`."""
    jobs: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    busy = threading.Event()
    threading.Thread(target=_read_jobs, args=(jobs, busy), name="jobs", daemon=True).start()
    try:
        with os.fdopen(int(os.environ.pop(ANSWERS)), "w") as answers:
            while (line := jobs.get()) is not None:
                busy.set()
                status, reason = _carried_out(run, json.loads(line))
                busy.clear()
                print(json.dumps({"status": status, "reason": reason}), file=answers, flush=True)
    except (BrokenPipeError, KeyboardInterrupt):  # nobody waits for the answer, or it is too late to stop
        return INTERRUPTED
    return DONE


def _carried_out(run: Callable[[list[str]], str | None], words: list[str]) -> tuple[int, str]:
    try:
        reason = run(words)
    except GanError as error:
        return REFUSED, str(error)
    except KeyboardInterrupt:
        signals.end(INTERRUPTED)  # where a step that was given up still runs in this process
        return INTERRUPTED, "interrupted"
    return (FAILED, reason) if reason else (DONE, "")


def _read_jobs(jobs: queue.SimpleQueue, busy: threading.Event) -> None:
    """Hand on what is to be done; where nobody is left who wants it, interrupt what is being done."""
    with open(0, closefd=False) as words:
        for line in words:
            jobs.put(line)
    jobs.put(None)
    while busy.wait():
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
        time.sleep(AGAIN_SECONDS)


# --- in the sweep's own process ---------------------------------------------------------------------------


class JobProcess:
    """A process that makes jobs, one at a time."""

    def __init__(self, command: Sequence[str]):
        read, write = os.pipe()
        with contextlib.closing(os.fdopen(write, "w")):
            # In a session of its own: Ctrl-C in a terminal reaches the sweep, which passes it on.
            self.process = subprocess.Popen(
                command,
                env={**os.environ, ANSWERS: str(write), "PYTHONPATH": _python_path()},
                stdin=subprocess.PIPE,
                stdout=sys.stderr.fileno(),
                text=True,
                pass_fds=[write],
                start_new_session=True,
            )
        self.answers: queue.SimpleQueue[dict] = queue.SimpleQueue()
        self.reader = threading.Thread(target=self._read, args=(read,), name="answers", daemon=True)
        self.reader.start()

    def give(self, words: Sequence[str]) -> None:
        """Let it do a job. One that is dead says so when it is asked for an answer."""
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(json.dumps(list(words)) + "\n")
            self.process.stdin.flush()

    def answer(self) -> dict | None:
        """What became of the job: its `status` and the `reason`; None as long as it is being done."""
        ended = self.process.poll()
        if ended is not None:
            self.reader.join()
        with contextlib.suppress(queue.Empty):
            return self.answers.get_nowait()
        return None if ended is None else {"status": ended or FAILED, "reason": _how_it_ended(ended)}

    def close(self) -> None:
        """Let it end, which has nothing to do."""
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()

    def _read(self, pipe: int) -> None:
        with os.fdopen(pipe) as lines:
            for line in lines:
                self.answers.put(json.loads(line))


def _how_it_ended(status: int) -> str:
    if status < 0:
        return f"its process was killed ({signal.Signals(-status).name}), for example because memory ran out"
    return f"its process ended with status {status}: its error output says why"


def _python_path() -> str:
    """The modules are found from any folder."""
    return os.pathsep.join(filter(None, (str(PACKAGES), os.environ.get("PYTHONPATH"))))


class Job:
    """One job of a process, which then is free for another one (`free`)."""

    def __init__(self, process: JobProcess, free: Callable[[JobProcess], None]):
        self.process, self.free = process, free
        self.answer: dict | None = None

    def poll(self) -> int | None:
        """0, another status where it failed or was interrupted, None while it is being done."""
        if self.answer is None:
            self.answer = self.process.answer()
            if self.answer and self.process.process.poll() is None:
                self.free(self.process)
        return self.answer and self.answer["status"]

    @property
    def reason(self) -> str:
        """Why it failed, in a line."""
        return " ".join((self.answer or {}).get("reason", "").split())

    def interrupt(self) -> None:
        """Let it save a checkpoint and end."""
        if self.poll() is None:
            self.process.process.send_signal(signal.SIGINT)

    def wait(self, seconds: float = STOP_SECONDS) -> None:
        """Until it has ended; after so many seconds its process is killed. An interrupt meanwhile is raised
        afterwards."""
        until = time.monotonic() + seconds
        interrupt: BaseException | None = None
        while self.poll() is None:
            try:
                if time.monotonic() > until:
                    self.process.process.kill()
                time.sleep(LOOK_SECONDS)
            except BaseException as error:
                interrupt = interrupt or error
        if interrupt:
            raise interrupt


class JobProcesses:
    """As many processes as are busy at once, each started by `command`; `with` ends them."""

    def __init__(self, command: Sequence[str]):
        self.command = command
        self.free: list[JobProcess] = []

    def __enter__(self) -> "JobProcesses":
        return self

    def __exit__(self, *_) -> None:
        for process in self.free:
            process.close()
        for process in self.free:
            process.process.wait()

    def start(self, words: Sequence[str]) -> Job:
        process = self.free.pop() if self.free else JobProcess(self.command)
        process.give(words)
        return Job(process, self.free.append)

    def run(self, words: Sequence[str], what: str) -> None:
        """Do one job and wait for it. Raises `StoreError` where `what` could not be made."""
        job = self.start(words)
        try:
            while job.poll() is None:
                time.sleep(LOOK_SECONDS)
        except BaseException:
            job.interrupt()
            with contextlib.suppress(BaseException):  # another interrupt
                job.wait()
            raise
        if job.poll() == INTERRUPTED:
            raise KeyboardInterrupt
        if job.poll():
            raise StoreError(f"{what} could not be made: {job.reason}")


class StoreWorkers:
    """Trials made by `processes`, of the words that `words` gives for an experiment's name; `experiment`
    gives its configuration. What was measured of them is read from the store."""

    def __init__(
        self,
        store: Store,
        experiment: Callable[[str], Experiment],
        processes: JobProcesses,
        words: Callable[[str], Sequence[str]],
    ):
        self.store, self.experiment = store, experiment
        self.processes, self.words = processes, words
        self.records: dict[str, TrainingRecords] = {}

    def start(self, experiment: str) -> Job:
        return self.processes.start(self.words(experiment))

    def fids(self, experiment: str) -> list[float]:
        """Read from the records for TensorBoard, which are in the local store, or in this host's cache."""
        config = self.experiment(experiment)
        shards = self.store.require("image_shards", config.dataset)
        if experiment not in self.records:
            classifier = self.store.current("classifier", config.dataset)
            made = steps.trained_gan(config, shards, classifier).fingerprint
            self.records[experiment] = TrainingRecords(tensorboard_folder(self.store, experiment, made))
        records = self.records[experiment]
        records.read()
        with reading(f"image_shards/{config.dataset}"):
            end = config.length.total_images(shards.details["splits"]["train"]["images"])
        rows = {row["images_seen"]: row["fid"] for row in records.rows("evaluation") if "fid" in row}
        return [fid for images_seen, fid in sorted(rows.items()) if 0 < images_seen < end]

    def measured(self, experiment: str, figure: str) -> tuple[float, int]:
        """Raises `StoreError` where its evaluation has no such figure."""
        evaluation = self.store.require("evaluation", experiment)
        with reading(f"evaluation/{experiment}", how_to_make("evaluation", experiment, force=True)):
            value, level = figure_of(evaluation, figure), demotion(evaluation)
        if is_missing(value):
            raise StoreError(
                f"evaluation/{experiment} has no `{figure}`, which its sweep is to make better: name its "
                "metric in the dataset's evaluation.metrics, or choose another `figure`"
            )
        return float(value), level
