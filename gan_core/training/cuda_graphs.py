"""The step as CUDA graphs: what it launches is recorded once, and then replayed in one launch.

A recorded step takes its images and what moves from the device, and adds its losses there: one replay follows
another with nothing of the host's between them. So a launch a step is all that is left, while the device is
at the step before. A recording of several steps would save no more than part of that launch, and would need
one for every order in which steps of D and of G come before something is due.

No replay is trusted before it was seen to do what a plain step does. Where it does not, or where a step
cannot be recorded, the run goes on with plain steps, and says why.
"""

import collections
import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from gan_core.errors import LostRankError
from gan_core.training.critic_steps import first_generator_step, updates_generator
from gan_core.training.graph_check import Moment, difference, differing_losses
from gan_core.training.optimizers import graphs_wanted
from gan_core.training.state import TrainingState
from gan_core.training.step import finish_step, prepare_step, train_step, update_networks
from gan_core.training.step_inputs import Batches, Given, StepInputs

WARM_UP = 11  # steps before a recording: libraries choose their kernels, optimisers make their moments
# Replays of each kind of step that are compared: random numbers that a recording holds fast, or memory that
# it shares with something else, show at the second one.
CHECKS = 3
OTHERS = "another process of this training has found a fault"
GIVEN_UP = "steps are not replayed as CUDA graphs, but run as they are: "
Losses = dict[str, Tensor]


def obstacle(state: TrainingState) -> str | None:
    """Why the steps of this experiment, by these processes, cannot be recorded; None where they can."""
    if state.experiment.schedules.beta2 is not None:
        return "`beta2` moves, and a recording has Adam's betas as the numbers that they were"
    if not state.ranks.sum_on_the_device:
        return "the processes add through the host (gloo), where a recording needs NCCL"
    return None


def may_capture(state: TrainingState) -> bool:
    """Whether steps are recorded: on a GPU, unless GAN_CUDA_GRAPHS is 0 or there is an `obstacle`."""
    return graphs_wanted(state.device) and obstacle(state) is None


class Recording(Protocol):
    """One kind of step, recorded but not run yet. A replay returns its losses: the same tensors each time."""

    def replay(self) -> Losses: ...


class Recorder(Protocol):
    """What records steps, on a stream of its own."""

    def stream(self) -> contextlib.AbstractContextManager[None]: ...

    def record(self, step: Callable[[], Losses]) -> Recording: ...


class CapturedSteps:
    """Does what `train_step` does on the batches of a feed, one or several steps at a call.

    Steps with and without an update of G are recorded apart, each when it first comes after the warm-up.
    What a replay reads (`StepInputs`) lies on the device. A step after which gradients are looked at must not
    be a replay: `plain` runs it as it is. The first replays are compared with plain steps from the same
    moment; `given_up` is why there are no more of them, None where all is well, and is told to `say`. Of
    several ranks all replay, or none.
    """

    def __init__(
        self,
        batches: Batches,
        total_images: int,
        recorder: Recorder,
        say: Callable[[str], None],
    ):
        self.batches, self.state = batches, batches.state
        self.total_images, self.recorder, self.say = total_images, recorder, say
        self.inputs = StepInputs(batches, total_images)
        self.recordings: dict[bool, Recording] = {}
        self.checked: collections.Counter[bool] = collections.Counter()
        self.given_up: str | None = None
        self.steps = 0

    @property
    def at_once(self) -> int:
        """The most steps of a call now: 1 until every kind of them is trusted."""
        experiment = self.state.experiment
        kinds = {updates_generator(experiment, step) for step in (1, first_generator_step(experiment))}
        trusted = not self.given_up and all(self.checked[kind] == CHECKS for kind in kinds)
        return self.inputs.at_once if trusted else 1

    def advance(self, steps: int = 1, *, plain: bool = False) -> None:
        """Make so many steps, `at_once` at most; a `plain` one is one."""
        warm_up = WARM_UP * first_generator_step(self.state.experiment)
        with self.recorder.stream():
            if plain or self.given_up or self.steps < warm_up:
                images, labels, fresh = self.batches.next()
                with self.state.ranks.step():
                    train_step(self.state, images, labels, self.total_images, fresh)
            elif self.checked[self._next_kind] < CHECKS:
                self._check()
            else:
                self._replay(steps)
        self.steps += steps

    def close(self) -> None:
        """Give the recordings' memory back. NCCL waits for those of its sums before a process can leave."""
        self.recordings.clear()

    @property
    def _next_kind(self) -> bool:
        return updates_generator(self.state.experiment, self.state.step + 1)

    def _replay(self, steps: int) -> None:
        self.inputs.make_ready(steps)
        with self.state.ranks.step():
            for _ in range(steps):
                losses = self.recordings[self._next_kind].replay()
                self.state.meter.count(losses)
                finish_step(self.state, self.state.experiment.batch_size)

    def _check(self) -> None:
        """A step that is made both ways: the replay's stays where both agree, else the plain one."""
        kind = prepare_step(self.state, self.total_images)
        before = self._moment()
        losses = self._step(self.batches.next(), kind)
        plain = before and self._moment()
        if plain:
            before.restore()
            if self._agreed(self._differs(losses, before, plain)):
                plain.restore()
            else:
                self.checked[kind] += 1
        self.state.meter.count(losses)
        finish_step(self.state, self.state.experiment.batch_size)

    def _step(self, given: Given, updates_generator: bool) -> Losses:
        images, labels, fresh = given
        with self.state.ranks.step():
            losses = update_networks(self.state, images, labels, updates_generator, fresh)
        self.state.meter.sum_up(losses)
        return {name: value.detach() for name, value in losses.items()}

    def _moment(self) -> Moment | None:
        """A copy of this moment; None, and no more replays, where a process has no memory for it."""
        moment = found = None
        try:
            moment = Moment(self.state)
        except torch.OutOfMemoryError as error:
            found = _in_words(error)
        return None if self._agreed(found) else moment

    def _differs(self, losses: Losses, before: Moment, plain: Moment) -> str | None:
        """How a replay from this moment differs from the plain step that was made from it."""
        kind = self._next_kind
        self.inputs.make_ready(1)
        found = None if kind in self.recordings else self._record(kind)
        if self.state.ranks.any(found is not None):  # before a replay that would wait for the others
            return found or OTHERS
        try:
            replayed = self.recordings[kind].replay()
            return differing_losses(losses, replayed) or difference(before, plain, Moment(self.state))
        except RuntimeError as error:
            return _in_words(error)

    def _record(self, kind: bool) -> str | None:
        """Why a kind of step cannot be recorded; None once it is."""
        try:
            self.recordings[kind] = self.recorder.record(lambda: self._step(self.inputs.take(kind), kind))
        except (RuntimeError, LostRankError) as error:  # torch's, for what a recording forbids and for memory
            return _in_words(error)
        return None

    def _agreed(self, found: str | None) -> bool:
        """Whether any process has found a fault: then none goes on with replays."""
        if not self.state.ranks.any(found is not None):
            return False
        self.given_up = found or OTHERS
        self.recordings.clear()
        self.say(GIVEN_UP + self.given_up)
        return True


class CudaRecorder:
    """Records steps of one device, which draw from `noise`; they share the memory of their intermediate
    values."""

    def __init__(self, device: torch.device, noise: torch.Generator):
        self.own, self.noise = torch.cuda.Stream(device), noise
        self.pool = torch.cuda.graph_pool_handle()

    @contextlib.contextmanager
    def stream(self) -> Iterator[None]:
        """Within, the device works on this recorder's stream, after what it was given before."""
        self.own.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self.own):
            yield
        torch.cuda.current_stream().wait_stream(self.own)

    def record(self, step: Callable[[], Losses]) -> "CudaRecording":
        return CudaRecording(self, step)


class CudaRecording:
    """See `Recording`."""

    def __init__(self, recorder: CudaRecorder, step: Callable[[], Losses]):
        self.graph = torch.cuda.CUDAGraph()
        self.graph.register_generator_state(recorder.noise)
        # thread_local: what other threads do on the device meanwhile is none of this recording's business.
        with torch.cuda.graph(
            self.graph, stream=recorder.own, pool=recorder.pool, capture_error_mode="thread_local"
        ):
            self.losses = step()

    def replay(self) -> Losses:
        self.graph.replay()
        return self.losses


class CallRecorder:
    """Calls in place of recordings: the same path on a device that has no graphs, to be tested there."""

    def stream(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()

    def record(self, step: Callable[[], Losses]) -> "CallRecording":
        return CallRecording(step)


@dataclass(frozen=True)
class CallRecording:
    """See `Recording`."""

    replay: Callable[[], Losses]


def _in_words(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0]}"
