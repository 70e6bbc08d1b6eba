"""The step as CUDA graphs: what it launches is recorded once, and then replayed in one launch."""

import torch
from torch import Tensor

from gan_core.data.feed import Batch
from gan_core.training.critic_steps import first_generator_step
from gan_core.training.optimizers import graphs_wanted
from gan_core.training.state import TrainingState
from gan_core.training.step import finish_step, prepare_step, train_step, update_networks

WARM_UP = 11  # steps before a recording: libraries choose their kernels, optimisers make their moments


def may_capture(state: TrainingState) -> bool:
    """Whether steps are recorded: on a GPU, in one process, where GAN_CUDA_GRAPHS is 1.

    Not where `beta2` moves: a recording has Adam's betas as the numbers that they were.
    """
    moves_betas = state.experiment.schedules.beta2 is not None
    return graphs_wanted(state.device) and state.ranks.size == 1 and not moves_betas


class CapturedStep:
    """Does what `train_step` does, on a stream of its own.

    Steps with and without an update of G are recorded apart, each when it first comes after the warm-up.
    Rates, schedules, the noise level and the random state are read from the device at every replay; the
    images are copied to where the recording found them. A step after which gradients are looked at must not
    be a replay: `plain` runs it as it is.
    """

    def __init__(self, state: TrainingState):
        self.state = state
        self.stream = torch.cuda.Stream(state.device)
        self.recordings: dict[bool, _Recording] = {}
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
        self.stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self.stream):
            if plain or self.steps < WARM_UP * first_generator_step(self.state.experiment):
                train_step(self.state, images, labels, total_images, fresh)
            else:
                self._replay(images, labels, total_images, fresh)
        torch.cuda.current_stream().wait_stream(self.stream)
        self.steps += 1

    def _replay(self, images: Tensor, labels: Tensor | None, total_images: int, fresh: Batch | None) -> None:
        given = (images, labels, *(fresh or (None, None)))
        updates_generator = prepare_step(self.state, total_images)
        if updates_generator not in self.recordings:
            pool = next((other.graph.pool() for other in self.recordings.values()), None)
            recording = _Recording(self.state, given, updates_generator, self.stream, pool)
            self.recordings[updates_generator] = recording
        self.state.meter.add(self.recordings[updates_generator].replay(given))
        finish_step(self.state, len(images))


class _Recording:
    """One kind of step, recorded but not run yet."""

    def __init__(self, state, given, updates_generator, stream, pool):
        self.given = [None if tensor is None else tensor.clone() for tensor in given]
        images, labels, *fresh = self.given
        fresh = None if fresh[0] is None else fresh
        self.graph = torch.cuda.CUDAGraph()
        self.graph.register_generator_state(state.noise.generator)
        # thread_local: what other threads do on the device meanwhile is none of this recording's business.
        with torch.cuda.graph(self.graph, stream=stream, pool=pool, capture_error_mode="thread_local"):
            losses = update_networks(state, images, labels, updates_generator, fresh)
        self.losses = {name: value.detach() for name, value in losses.items()}

    def replay(self, given: tuple[Tensor | None, ...]) -> dict[str, Tensor]:
        for mine, new in zip(self.given, given, strict=True):
            if mine is not None:
                mine.copy_(new)
        self.graph.replay()
        return self.losses
