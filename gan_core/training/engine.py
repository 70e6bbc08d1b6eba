"""The loop of a training: steps, rows of losses, samples, evaluations, guards, checkpoints, a clean end."""

import contextlib
import functools
import threading
import time
from collections.abc import Callable

import torch

from gan_core.data.feed import FeedInterrupted, TrainingFeed
from gan_core.errors import GanError, TrainingError
from gan_core.evaluation.in_training import InTrainingEvaluation
from gan_core.numerics import MEASURING, training_policy
from gan_core.objectives import PENALTIES
from gan_core.progress import Progress
from gan_core.spacing import evaluation_interval
from gan_core.training.checkpoints import Checkpoints
from gan_core.training.critic_steps import updates_generator
from gan_core.training.cuda_graphs import GIVEN_UP, CapturedSteps, CudaRecorder, may_capture, obstacle
from gan_core.training.guards import GRACE, Finding, run_guards
from gan_core.training.guards.not_finite import not_finite_finding
from gan_core.training.optimizers import graphs_wanted
from gan_core.training.processes.interruptible import Post, run_interruptible
from gan_core.training.records.history import TIMES, Row, not_finite
from gan_core.training.records.listeners import Listeners, TrainingSnapshot
from gan_core.training.records.tensorboard import TensorBoardLog
from gan_core.training.state import TrainingState, is_finite
from gan_core.training.step import train_step
from gan_core.training.step_inputs import Batches

# A step that takes longer is worth a copy of what it begins with: a stop need not wait for its end.
SLOW_STEP_SECONDS = 1.0
# So often are samples drawn in a run whose configuration does not say how often.
SAMPLING_TIMES = 16
# Who observes more slowly than that misses some.
OBSERVATIONS_AT_ONCE = 8


class Engine:
    """Trains `state` on the images of `feed` until `total_images` were seen by D, or a guard stops it.

    The last batch is whole, so that the run may end up to a batch later. A row of losses is taken at the
    first update of G that is at least `log_every` steps of D after the last row, and at the end. What is
    logged and observed is handed to the thread that called `run`. `still_ours` raises once another process
    has taken the run over. `evaluation` and `board` may be None; only the first rank has them.
    """

    def __init__(
        self,
        state: TrainingState,
        feed: TrainingFeed,
        total_images: int,
        checkpoints: Checkpoints,
        listeners: Listeners,
        *,
        evaluation: InTrainingEvaluation | None = None,
        board: TensorBoardLog | None = None,
        still_ours: Callable[[], None] = lambda: None,
    ):
        self.state, self.experiment, self.ranks = state, state.experiment, state.ranks
        self.feed, self.total_images, self.checkpoints = feed, total_images, checkpoints
        feed.end_after(total_images + state.objective.compares_pairs * self.experiment.batch_size)
        self.batches = Batches(state, feed)
        self.evaluated_for = 0.0  # seconds since the last step, which its clock has not counted yet
        self.listeners, self.evaluation, self.board = listeners, evaluation, board
        self.still_ours = still_ours
        self.sample_every = self.experiment.sample_every or max(1, total_images // SAMPLING_TIMES)
        self.evaluate_every = self.experiment.evaluate_every or evaluation_interval(total_images)
        self.findings: list[Finding] = []
        self.said: set[str] = set()
        self.stopped_by: Finding | None = None
        self.observing = threading.Semaphore(OBSERVATIONS_AT_ONCE)
        self.captured = None
        if may_capture(state):
            recorder = CudaRecorder(state.device, state.noise.generator)
            self.captured = CapturedSteps(self.batches, total_images, recorder, self._say)
        self.saving = threading.Lock()
        self.kept: dict | None = None
        self.slow, self.given_up = False, False
        self.saved_at = self.began_at = state.images_seen

    def run(self) -> None:
        """Train to the end. On an interrupt the last whole step is saved, and the interrupt raised again.

        So does every rank where one of them is interrupted. A step that takes too long to wait for is given
        up: what is saved is what it began with, and who goes on makes it again.

        A loss or a weight that is no longer finite ends it.
        """
        try:
            run_interruptible(self._train, self._on_stop, self._give_up)
        except TrainingError:
            if self.ranks.size > 1:  # another process has left the step that this one was in
                with contextlib.suppress(GanError):
                    self._give_up()
            raise
        if not self.finished:
            raise KeyboardInterrupt("another process of this training was interrupted")

    def _on_stop(self) -> None:
        self.listeners.emit(f"stopping: {self.experiment.name} at {self.state.images_seen:,} images seen")
        if self.ranks.size == 1:  # of several ranks none may leave a step that the others are in
            self.feed.interrupt()

    def _give_up(self) -> bool:
        """Where the step under way can be given up, save what it began with, unless that is saved.

        Of several ranks' losses since the last row, the first one's are saved: there is nobody to ask.
        """
        with self.saving:
            if self.saved_at > self.began_at:
                return False  # the step has come to its own checkpoint, and ends
            if self.saved_at < self.began_at:
                if self.kept is None:
                    return False
                if self.ranks.is_first and is_finite(self.kept):
                    self.still_ours()
                    self.checkpoints.save(self.kept)
                    self.saved_at = self.began_at
            self.given_up = True
        return True

    @property
    def replays_graphs(self) -> bool:
        """Whether steps are replayed as CUDA graphs, at this moment of the run."""
        return self.captured is not None and self.captured.given_up is None

    @property
    def finished(self) -> bool:
        return self.state.images_seen >= self.total_images or self.stopped_by is not None

    def _train(self, stop: threading.Event, post: Post) -> None:
        if self.state.device.type == "cuda":
            torch.cuda.set_device(self.state.device)  # each thread has its own
        with training_policy(self.state.device).applied():
            self.begin(post)
            with contextlib.suppress(FeedInterrupted):
                while not (self.finished or self.ranks.any(stop.is_set())):
                    self.step()
            if self.captured:
                self.captured.close()
            if self.finished:
                self._end()
            elif self.state.images_seen != self.saved_at:
                self._save()

    def begin(self, post: Post) -> None:
        """Before the first step of this process; `post` takes what the calling thread is to do."""
        self.post = post
        self.clock_start = time.monotonic() - self.state.seconds
        self.observed_at = time.monotonic()
        self.progress = Progress(
            f"training {self.experiment.name}",
            self.total_images,
            start=self.state.images_seen,
            emit=lambda line: post(functools.partial(self.listeners.emit, line)),
        )
        self.note = _describe(self.state.history[-1]) if self.state.history else ""
        if graphs_wanted(self.state.device) and (why := obstacle(self.state)):
            self._say(GIVEN_UP + why)
        if self.state.images_seen == 0:
            self._look_at_untrained()
        self._run_guards()
        if not self.state.samples:
            self._sample()

    def step(self) -> None:
        """One batch, or several where they are replayed, and whatever is due after it."""
        self.still_ours()
        before, began = self.state.images_seen, time.monotonic()
        steps = self._steps_together()
        self._keep(steps)
        self._advance(steps)
        self._record(before)
        self._report()
        self.slow = time.monotonic() - began > SLOW_STEP_SECONDS

    def _steps_together(self) -> int:
        """How many steps come before anything else is to do: up to the first after which something is due,
        and not with one whose gradients are looked at."""
        if not self.captured or self._measures(0):
            return 1
        steps = 1
        while steps < self.captured.at_once and not (self._is_due_after(steps) or self._measures(steps)):
            steps += 1
        return steps

    def _is_due_after(self, steps: int) -> bool:
        """Whether so many steps from now something is due, rows of losses apart."""
        before = self.state.images_seen
        after = before + steps * self.experiment.batch_size
        often = (self.evaluate_every, self.sample_every, self.experiment.checkpoint_every)
        return (
            after >= self.total_images
            or any(_crossed(before, after, every) for every in often)
            or self._ends_first_epoch(before, after)
        )

    def _keep(self, steps: int) -> None:
        """Copy what the next steps begin with, where they may take long and that is in no checkpoint."""
        begins_at = self.state.images_seen
        ends_at = begins_at + steps * self.experiment.batch_size
        evaluated = (
            ends_at >= self.total_images
            or _crossed(begins_at, ends_at, self.evaluate_every)
            or self._ends_first_epoch(begins_at, ends_at)
        )
        needed = (self.slow or evaluated) and begins_at != self.saved_at
        kept = self.state.frozen() if needed else None
        with self.saving:
            self.began_at, self.kept = begins_at, kept

    def _advance(self, steps: int) -> None:
        state, measured = self.state, self._measures(0)
        if self.captured:
            self.captured.advance(steps, plain=measured)
        else:
            images, labels, fresh = self.batches.next()
            with self.ranks.step():
                train_step(state, images, labels, self.total_images, fresh)
        if measured:
            updated_generator = updates_generator(self.experiment, state.step)
            state.meter.add(state.gradient_norms(of_generator=updated_generator))
        state.seconds = time.monotonic() - self.clock_start
        state.seconds_evaluating += self.evaluated_for
        self.evaluated_for = 0.0

    def _measures(self, steps: int) -> bool:
        """Whether the step after so many from now is one whose gradients a row shows: its last one, or that
        of the run."""
        step = self.state.step + steps + 1
        since_row = step - self.state.meter_since[0]
        seen = self.state.images_seen + (steps + 1) * self.experiment.batch_size
        last = seen >= self.total_images
        with_generator = updates_generator(self.experiment, step)
        return last or (since_row >= self.experiment.log_every and with_generator)

    @property
    def _row_is_due(self) -> bool:
        since_row = self.state.step - self.state.meter_since[0]
        return since_row >= self.experiment.log_every and updates_generator(self.experiment, self.state.step)

    def _record(self, before: int) -> None:
        """Whatever is due after a step that began at `before` images seen; the end has its own records."""
        due = functools.partial(_crossed, before, self.state.images_seen)
        if self.finished:
            return
        if self._row_is_due:
            self._add_row()
        improved = due(self.evaluate_every) and self._evaluate()
        if due(self.sample_every):
            self._sample()
        if self._ends_first_epoch(before, self.state.images_seen):
            self._look_at_first_epoch()
        if (improved or due(self.experiment.checkpoint_every)) and not self.finished:
            self._save(best=improved)  # last of all: who resumes from it does nothing of this step again

    def _report(self) -> None:
        self.progress.update(min(self.state.images_seen, self.total_images), self.note)
        due = time.monotonic() - self.observed_at >= self.listeners.observe_interval
        if self.listeners.observe and due and self.observing.acquire(blocking=False):
            self.observed_at = time.monotonic()
            self.post(functools.partial(self._show, self._snapshot()))

    def _show(self, snapshot: TrainingSnapshot) -> None:
        """In the calling thread. A picture that cannot be shown is no reason to stop training."""
        try:
            self.listeners.observe(snapshot)
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            self.listeners.emit(f"this moment of the training could not be shown: {reason}")
        finally:
            self.observing.release()

    def _end(self) -> None:
        """The last row, evaluation and samples; none of them of weights that are not finite."""
        if self.diverged:
            return
        if self.state.meter.sums:
            self._add_row()
        if self.diverged:
            return
        if not self.state.evaluations or self.state.evaluations[-1]["images_seen"] != self.state.images_seen:
            self._evaluate()
        if self.state.samples[-1][0] != self.state.images_seen and not self.diverged:
            self._sample()
        if not self.diverged:
            self._run_guards(ended=True)

    @property
    def diverged(self) -> bool:
        """Whether a loss or a weight is no longer finite."""
        return self.stopped_by is not None and self.stopped_by.verdict == "not_finite"

    def _add_row(self) -> None:
        state = self.state
        step, images_seen, seconds = state.meter_since
        losses = self._losses(self._means())
        if self._not_finite(not_finite(losses), "loss"):
            return
        duration = max(state.seconds_of_steps - seconds, 1e-9)
        row = {
            "images_seen": state.images_seen,
            "step": state.step,
            **losses,
            "images_per_second": round((state.images_seen - images_seen) / duration, 1),
            "seconds": round(state.seconds, 3),
        }
        state.history.append(row)
        state.meter.reset()
        state.meter_since = (state.step, state.images_seen, state.seconds_of_steps)
        self.note = _describe(losses)
        if self.board:
            self.board.add(row, "training")
        self._run_guards()

    def _means(self) -> dict[str, float]:
        """The meter's means over all ranks; each then goes on from the same sums."""
        self.ranks.average(list(self.state.meter.sums.values()))
        return self.state.meter.means()

    def _losses(self, means: dict[str, float]) -> dict[str, float]:
        """Means since the last row; a loss without a new value (G's, between its steps) keeps its last."""
        if not self.state.history:
            return means
        last = self.state.history[-1]
        unrelated = ("images_seen", "step", *TIMES)
        return {name: means.get(name, last[name]) for name in last if name not in unrelated}

    def _sample(self) -> None:
        self.state.samples.append((self.state.images_seen, self.state.draw_fixed()))
        if self.board:
            self.board.add_samples(*self.state.samples[-1])

    def _evaluate(self) -> bool:
        """Add a row of the in-training evaluation; whether its FID is the best so far."""
        if self._not_finite(self.state.not_finite(), "weight of the") or not self._is_evaluated:
            return False
        row = {"images_seen": self.state.images_seen, **self._measured()}
        self.state.evaluations.append(row)
        if self.board:
            self.board.add(row, "evaluation")
        self._run_guards(ended=self.finished)
        improved = "fid" in row and (self.state.best is None or row["fid"] < self.state.best["fid"])
        if improved:
            self.state.keep_best(row["fid"])
        return improved

    def _measured(self) -> Row:
        """What the in-training evaluation says of this moment, the same on all ranks."""
        row: Row = {}
        if self.evaluation:
            began = time.monotonic()
            with MEASURING.applied():
                row = self.evaluation.measure(self.state.sampler.eval())
            self.state.generator.train()
            self.evaluated_for += time.monotonic() - began
            if "fid" in row and self.state.untrained:
                row["fid_untrained"] = self.state.untrained["fid"]
        return self.ranks.of_first(row)

    def _look_at_untrained(self) -> None:
        """What no learning gives by the same measure: no row of its own, but a column of the others."""
        self.state.untrained = None
        self.state.untrained = self._measured()

    def _ends_first_epoch(self, before: int, after: int) -> bool:
        return before < len(self.feed) <= after

    def _look_at_first_epoch(self) -> None:
        """Keep what G draws after one epoch, and what the in-training evaluation says of it.

        A record apart: neither the best generator nor a guard looks at it, so that a run ends as it would
        without.
        """
        state = self.state
        if state.not_finite():
            return
        row = self._row_of_now() or self._measured()
        state.first_epoch = {"images_seen": state.images_seen, "samples": state.draw_fixed(), "row": row}

    def _row_of_now(self) -> Row | None:
        """The evaluation of this moment, where it was due, too."""
        last = self.state.evaluations[-1] if self.state.evaluations else {}
        if last.get("images_seen") != self.state.images_seen:
            return None
        return {name: value for name, value in last.items() if name != "images_seen"}

    @property
    def _is_evaluated(self) -> bool:
        """The same on all ranks, though only the first has the evaluation."""
        return self.ranks.of_first(self.evaluation is not None)

    def _save(self, *, best: bool = False) -> None:
        if self._not_finite(not_finite(self._means()), "loss"):
            return
        if self._not_finite(self.state.not_finite(), "weight of the"):
            return
        with self.saving:
            if self.given_up:
                raise TrainingError("the step was given up: another one goes on from what it began with")
            if self.ranks.is_first:
                self.still_ours()
                self.checkpoints.save(self.state.state_dict(), best=best)
            self.saved_at = self.state.images_seen

    def _snapshot(self) -> TrainingSnapshot:
        losses = self._losses(self.state.meter.means())
        self.note = _describe(losses)
        rate = self.progress.rate
        left = max(0, self.total_images - self.state.images_seen)
        return TrainingSnapshot(
            images_seen=self.state.images_seen,
            total_images=self.total_images,
            losses=losses,
            images_per_second=rate,
            seconds_left=left / rate,
            samples=self.state.draw_fixed(),
            history=list(self.state.history),
            evaluations=list(self.state.evaluations),
            warnings=[finding.sentence() for finding in self.findings],
        )

    def _run_guards(self, *, ended: bool = False) -> None:
        """Let the guards look at the records: say what is new, stop where the configuration says so."""
        if self.state.images_seen < GRACE * self.total_images:
            return
        self.findings = run_guards(self.experiment, self.state.history, self.state.evaluations, ended=ended)
        if self.stopped_by and self.stopped_by.verdict not in {item.verdict for item in self.findings}:
            self.findings.insert(0, self.stopped_by)  # the last row may look better; it stopped all the same
        for finding in self.findings:
            if finding.verdict not in self.said:
                self.said.add(finding.verdict)
                self._say(finding.sentence())
            if finding.verdict in self.experiment.stop_on:
                self._stop(finding)

    def _not_finite(self, names: list[str], kind: str) -> bool:
        """Whether there are such names; then the run ends, and the last good weights are published."""
        if not names:
            return False
        finding = not_finite_finding(self.experiment, names, kind, self.state.images_seen)
        if not self.diverged:
            self.findings = [finding]
            self._say(finding.sentence())
            self._stop(finding)
        return True

    def _stop(self, finding: Finding) -> None:
        seen = self.state.images_seen
        at_its_end = seen >= self.total_images and finding.verdict != "not_finite"
        if self.stopped_by is None and not at_its_end:
            self.stopped_by = finding
            best = self.state.best
            kept = f"best generator, of {best['images_seen']:,} images," if best else "last good generator"
            self._say(f"stopped by the guard `{finding.verdict}` at {seen:,} images; the {kept} is kept")

    def _say(self, line: str) -> None:
        self.post(functools.partial(self.listeners.emit, line))


def _crossed(before: int, after: int, every: int) -> bool:
    return before // every != after // every


def _describe(losses: dict[str, float]) -> str:
    shown = ("d_loss", "g_loss", *PENALTIES, "d_class_loss", "g_class_loss")
    return ", ".join(f"{name} {losses[name]:.3f}" for name in shown if name in losses)
