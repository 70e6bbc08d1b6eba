"""The step as CUDA graphs: what it launches is recorded once, and then replayed in one launch.

No replay is trusted before it was seen to do what a plain step does. Where it does not, or where a step
cannot be recorded, the run goes on with plain steps, and says why.
"""

import collections
import contextlib
from collections.abc import Callable, Iterator
from typing import Protocol

import torch
from torch import Tensor

from gan_core.data.feed import Batch
from gan_core.training.critic_steps import first_generator_step
from gan_core.training.graph_check import Moment, difference, differing_losses
from gan_core.training.optimizers import graphs_wanted
from gan_core.training.state import TrainingState
from gan_core.training.step import finish_step, prepare_step, train_step, update_networks

WARM_UP = 11  # steps before a recording: libraries choose their kernels, optimisers make their moments
# Replays of each kind of step that are compared: random numbers that a recording holds fast, or memory that
# it shares with something else, show at the second one.
CHECKS = 3
Losses = dict[str, Tensor]
Given = tuple[Tensor, Tensor | None, Batch | None]
"""What a step is given: images, their labels, and the fresh images and labels of its G (see `train_step`)."""


def may_capture(state: TrainingState) -> bool:
    """Whether steps are recorded: on a GPU, in one process, unless GAN_CUDA_GRAPHS is 0.

    Not where `beta2` moves: a recording has Adam's betas as the numbers that they were.
    """
    moves_betas = state.experiment.schedules.beta2 is not None
    return graphs_wanted(state.device) and state.ranks.size == 1 and not moves_betas


class Recording(Protocol):
    """One kind of step, recorded but not run yet."""

    def replay(self, given: Given) -> Losses: ...


class Recorder(Protocol):
    """What records steps, on a stream of its own."""

    def stream(self) -> contextlib.AbstractContextManager[None]: ...

    def record(self, state: TrainingState, given: Given, updates_generator: bool) -> Recording: ...


class CapturedStep:
    """Does what `train_step` does.

    Steps with and without an update of G are recorded apart, each when it first comes after the warm-up.
    Rates, schedules, the noise level and the random state are read from the device at every replay; the
    images are copied to where the recording found them. A step after which gradients are looked at must not
    be a replay: `plain` runs it as it is. The first replays are compared with plain steps from the same
    moment; `given_up` is why there are no more of them, None where all is well, and is told to `say`.
    """

    def __init__(self, state: TrainingState, recorder: Recorder, say: Callable[[str], None]):
        self.state, self.recorder, self.say = state, recorder, say
        self.recordings: dict[bool, Recording] = {}
        self.checked: collections.Counter[bool] = collections.Counter()
        self.given_up: str | None = None
        self.steps = 0

    def __call__(
        self,
        images: Tensor,
        labels: Tensor | None,
        total_images: int,
        fresh: Batch | None = None,
        *,
        plain: bool,
    ) -> None:
        warm_up = WARM_UP * first_generator_step(self.state.experiment)
        with self.recorder.stream():
            if plain or self.given_up or self.steps < warm_up:
                train_step(self.state, images, labels, total_images, fresh)
            else:
                self._replay((images, labels, fresh), total_images)
        self.steps += 1

    def _replay(self, given: Given, total_images: int) -> None:
        updates_generator = prepare_step(self.state, total_images)
        if self.checked[updates_generator] < CHECKS:
            losses = self._checked(given, updates_generator)
        else:
            losses = self.recordings[updates_generator].replay(given)
        self.state.meter.add(losses)
        finish_step(self.state, len(given[0]))

    def _checked(self, given: Given, updates_generator: bool) -> Losses:
        """The losses of a step that was made both ways. What stays is the replay's where both agree, else
        that of the plain step."""
        before = self._moment()
        plain_losses = _updated(self.state, given, updates_generator)
        plain = before and self._moment()
        if plain is None:
            return plain_losses
        before.restore()
        try:
            losses = self._replayed(given, updates_generator)
            found = differing_losses(plain_losses, losses) or difference(before, plain, Moment(self.state))
        except RuntimeError as error:  # torch's, for what a recording forbids and for memory
            found = _in_words(error)
        if found is None:
            self.checked[updates_generator] += 1
            return losses
        plain.restore()
        self._give_up(found)
        return plain_losses

    def _moment(self) -> Moment | None:
        """A copy of this moment; None, and no more replays, where there is no memory for it."""
        try:
            return Moment(self.state)
        except torch.OutOfMemoryError as error:
            self._give_up(_in_words(error))
            return None

    def _replayed(self, given: Given, updates_generator: bool) -> Losses:
        if updates_generator not in self.recordings:
            recording = self.recorder.record(self.state, given, updates_generator)
            self.recordings[updates_generator] = recording
        return self.recordings[updates_generator].replay(given)

    def _give_up(self, why: str) -> None:
        self.given_up = why
        self.recordings.clear()
        self.say(f"steps are not replayed as CUDA graphs, but run as they are: {why}")


class CudaRecorder:
    """Records steps of one device; they share the memory of their intermediate values."""

    def __init__(self, device: torch.device):
        self.own = torch.cuda.Stream(device)
        self.pool = torch.cuda.graph_pool_handle()

    @contextlib.contextmanager
    def stream(self) -> Iterator[None]:
        """Within, the device works on this recorder's stream, after what it was given before."""
        self.own.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self.own):
            yield
        torch.cuda.current_stream().wait_stream(self.own)

    def record(self, state: TrainingState, given: Given, updates_generator: bool) -> "CudaRecording":
        return CudaRecording(self, state, given, updates_generator)


class CudaRecording:
    """See `Recording`."""

    def __init__(
        self,
        recorder: CudaRecorder,
        state: TrainingState,
        given: Given,
        updates_generator: bool,
    ):
        self.given = _copied(given)
        self.graph = torch.cuda.CUDAGraph()
        self.graph.register_generator_state(state.noise.generator)
        # thread_local: what other threads do on the device meanwhile is none of this recording's business.
        with torch.cuda.graph(
            self.graph, stream=recorder.own, pool=recorder.pool, capture_error_mode="thread_local"
        ):
            losses = _updated(state, self.given, updates_generator)
        self.losses = {name: value.detach() for name, value in losses.items()}

    def replay(self, given: Given) -> Losses:
        for mine, new in zip(_tensors(self.given), _tensors(given), strict=True):
            mine.copy_(new)
        self.graph.replay()
        return self.losses


def _in_words(error: RuntimeError) -> str:
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0]}"


def _updated(state: TrainingState, given: Given, updates_generator: bool) -> Losses:
    images, labels, fresh = given
    return update_networks(state, images, labels, updates_generator, fresh)


def _tensors(given: Given) -> list[Tensor]:
    images, labels, fresh = given
    return [tensor for tensor in (images, labels, *(fresh or ())) if tensor is not None]


def _copied(given: Given) -> Given:
    images, labels, fresh = given

    def copy(tensor: Tensor | None) -> Tensor | None:
        return None if tensor is None else tensor.clone()

    return copy(images), copy(labels), fresh and (copy(fresh[0]), copy(fresh[1]))
