"""The loop of a training: steps, loss rows, samples, checkpoints, progress, and a clean end."""

import functools
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from gan_core.errors import TrainingError
from gan_core.progress import Progress
from gan_core.training.checkpoints import Checkpoints
from gan_core.training.history import Row, not_finite
from gan_core.training.order import EpochOrder
from gan_core.training.state import TrainingState
from gan_core.training.step import train_step
from gan_core.training.worker import Post, run_interruptible


@dataclass(frozen=True)
class TrainingSnapshot:
    """A look at a running training. `samples` are the fixed latents' images now: uint8 (n, C, H, W).

    `losses` are means since the last row of `history`, or that row's where there is no newer loss.
    """

    images_seen: int
    total_images: int
    losses: dict[str, float]
    images_per_second: float
    seconds_left: float
    samples: Tensor
    history: list[Row]


class Engine:
    """Trains `state` on images in memory until `total_images` were seen by D.

    `images` uint8 (N, C, H, W) and `labels` int64 (N,) or None lie on the device of `state`. The last batch
    is whole, so that the run may end up to a batch later. A row of losses is taken at the first update of G
    that is at least `log_every` steps of D after the last row, and at the end. What is logged and
    observed is handed to `post`; `stop` asks the loop to end at the next step.
    """

    def __init__(
        self,
        state: TrainingState,
        images: Tensor,
        labels: Tensor | None,
        total_images: int,
        checkpoints: Checkpoints,
        *,
        emit: Callable[[str], None],
        observe: Callable[[TrainingSnapshot], None] | None = None,
        observe_interval: float = 10.0,
    ):
        self.state, self.experiment = state, state.experiment
        self.images, self.labels, self.total_images = images, labels, total_images
        self.checkpoints, self.emit = checkpoints, emit
        self.observe, self.observe_interval = observe, observe_interval
        self.order = EpochOrder(len(images), state.experiment.seed, state.device)

    def run(self) -> None:
        """Train to the end. On an interrupt the last whole step is saved, and the interrupt raised again.

        Raises `TrainingError` when a loss or a weight is no longer finite.
        """
        run_interruptible(self._train)

    @property
    def finished(self) -> bool:
        return self.state.images_seen >= self.total_images

    def _train(self, stop: threading.Event, post: Post) -> None:
        self._begin(post)
        while not (self.finished or stop.is_set()):
            before = self.state.images_seen
            self._step()
            self._record(before)
            self._report()
        if self.finished:
            self._end()
        if self.state.images_seen != self.saved_at:
            self._save()

    def _begin(self, post: Post) -> None:
        self.post = post
        self.saved_at = self.state.images_seen
        self.clock_start = time.monotonic() - self.state.seconds
        self.observed_at = time.monotonic()
        self.progress = Progress(
            f"training {self.experiment.name}",
            self.total_images,
            start=self.state.images_seen,
            emit=lambda line: post(functools.partial(self.emit, line)),
        )
        self.note = _describe(self.state.history[-1]) if self.state.history else ""
        if not self.state.samples:
            self._sample()

    def _step(self) -> None:
        numbers = self.order.batch(self.state.images_seen, self.experiment.batch_size)
        labels = self.labels[numbers] if self.experiment.conditional else None
        train_step(self.state, self.images[numbers], labels, self.total_images)
        self.state.seconds = time.monotonic() - self.clock_start

    def _record(self, before: int) -> None:
        """Whatever is due after a step that began at `before` images seen."""
        experiment, state = self.experiment, self.state
        since_row = state.step - state.meter_since[0]
        if since_row >= experiment.log_every and state.step % experiment.n_critic == 0:
            self._add_row()
        if _crossed(before, state.images_seen, experiment.sample_every) and not self.finished:
            self._sample()
        if _crossed(before, state.images_seen, experiment.checkpoint_every) and not self.finished:
            self._save()

    def _report(self) -> None:
        self.progress.update(min(self.state.images_seen, self.total_images), self.note)
        if self.observe and time.monotonic() - self.observed_at >= self.observe_interval:
            self.observed_at = time.monotonic()
            self.post(functools.partial(self.observe, self._snapshot()))

    def _end(self) -> None:
        if self.state.meter.sums:
            self._add_row()
        if self.state.samples[-1][0] != self.state.images_seen:
            self._sample()

    def _add_row(self) -> None:
        state = self.state
        step, images_seen, seconds = state.meter_since
        losses = self._losses()
        self._check_finite(not_finite(losses), "loss")
        duration = max(state.seconds - seconds, 1e-9)
        state.history.append(
            {
                "images_seen": state.images_seen,
                "step": state.step,
                **losses,
                "images_per_second": round((state.images_seen - images_seen) / duration, 1),
                "seconds": round(state.seconds, 3),
            }
        )
        state.meter.reset()
        state.meter_since = (state.step, state.images_seen, state.seconds)
        self.note = _describe(losses)

    def _losses(self) -> dict[str, float]:
        """Means since the last row; a loss without a new value (G's, between its steps) keeps its last."""
        means = self.state.meter.means()
        if not self.state.history:
            return means
        last = self.state.history[-1]
        unrelated = ("images_seen", "step", "images_per_second", "seconds")
        return {name: means.get(name, last[name]) for name in last if name not in unrelated}

    def _sample(self) -> None:
        self.state.samples.append((self.state.images_seen, self.state.draw_fixed()))

    def _save(self) -> None:
        self._check_finite(not_finite(self.state.meter.means()), "loss")
        self._check_finite(self.state.not_finite(), "weight of the")
        self.checkpoints.save(self.state.state_dict())
        self.saved_at = self.state.images_seen

    def _snapshot(self) -> TrainingSnapshot:
        losses = self._losses()
        self._check_finite(not_finite(losses), "loss")
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
        )

    def _check_finite(self, names: list[str], kind: str) -> None:
        if not names:
            return
        saved = self.checkpoints.last
        raise TrainingError(
            f"experiment `{self.experiment.name}`: {kind} {', '.join(f'`{name}`' for name in names)} "
            f"became NaN or infinite by {self.state.images_seen:,} images seen. The last good checkpoint is "
            f"{saved or 'none: no checkpoint was due yet'}. What usually helps: a lower "
            "`optimizers.discriminator.learning_rate` and `optimizers.generator.learning_rate`, "
            "`optimizers.*.betas` of [0.0, 0.9], an `objective.gradient_penalty`, `precision: fp32`"
        )


def _crossed(before: int, after: int, every: int) -> bool:
    return before // every != after // every


def _describe(losses: dict[str, float]) -> str:
    shown = ("d_loss", "g_loss", "gradient_penalty", "d_class_loss", "g_class_loss")
    return ", ".join(f"{name} {losses[name]:.3f}" for name in shown if name in losses)
