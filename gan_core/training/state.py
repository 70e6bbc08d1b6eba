"""Everything that a run is made of at one moment: what a checkpoint holds."""

import copy
from typing import Any

import torch
from torch import Tensor, nn

from gan_core.config import Experiment
from gan_core.devices import image_memory_format
from gan_core.evaluation.in_training import BY_FEATURES
from gan_core.images import to_uint8
from gan_core.models import build_discriminator, build_generator
from gan_core.models.common import draw_latents
from gan_core.models.layers import Dropout, MinibatchDiscrimination, MinibatchStddev
from gan_core.numerics import MEASURING
from gan_core.objectives import PENALTIES, build_objective
from gan_core.training.adaptive_augmentation import AdaptiveAugmentation
from gan_core.training.ema import GeneratorEMA
from gan_core.training.noise import Noise, stream_seed
from gan_core.training.optimizers import build_optimizer, load_optimizer
from gan_core.training.precision import precision_on
from gan_core.training.processes.ranks import Ranks
from gan_core.training.records.history import LossMeter, Row
from gan_core.training.schedules import AUGMENTATION_PROBABILITY, EMA_DECAY, device_values
from gan_core.training.score_averages import ScoreAverages

FIXED_SAMPLES = 16


class TrainingState:
    """The networks and their optimisers, the average, the random numbers, the counters and the records.

    Built from `experiment.seed` alone and without touching torch's global random state; a checkpoint then
    overwrites it. `precision` is what the networks compute in on this device. `noise` is the one source of
    random numbers of the steps. The place in the data is `images_seen`. `history` has the rows of losses,
    `evaluations` those of the in-training evaluation, `samples` (images_seen, uint8 (n, C, H, W)) of each
    sampling time, `best` the weights of both networks at the lowest in-training FID so far; `first_epoch` has
    `images_seen`, `samples` and evaluation (`row`) of the end of the first epoch, and is None before it;
    `untrained` has the in-training evaluation of the beginning, and is None in runs that began without. All
    ranks hold the same.
    """

    def __init__(
        self,
        experiment: Experiment,
        *,
        channels: int,
        image_size: int,
        n_classes: int,
        device: torch.device,
        ranks: Ranks | None = None,
    ):
        self.experiment, self.device, self.ranks = experiment, device, ranks or Ranks()
        self.precision = precision_on(experiment, device)
        shape = {"channels": channels, "image_size": image_size, "n_classes": n_classes}
        with torch.random.fork_rng(devices=[]):
            # The CPU's alone, where the networks are made: `torch.manual_seed` seeds every device's.
            torch.default_generator.manual_seed(experiment.seed)
            generator = build_generator(experiment, **shape)
            discriminator = build_discriminator(experiment, **shape)
        self.objective = build_objective(experiment.objective)
        self.noise = Noise(stream_seed(experiment.seed, "steps"), device, self.ranks)
        self.generator = self._on_device(generator)
        self.discriminator = self._on_device(discriminator)
        self.optimizers = {
            name: build_optimizer(getattr(self, name), getattr(experiment.optimizers, name), device)
            for name in ("generator", "discriminator")
        }
        self.noise_level = torch.zeros((), device=device)
        self.scheduled = device_values(experiment, device)
        self.adaptive_augmentation = self._adaptive_augmentation()
        self.augmentation_probability = self._augmentation_probability()
        self.ema = self._average()
        follows = any(PENALTIES[name].follows_scores for name in experiment.objective.penalties)
        self.score_averages = ScoreAverages(device) if follows else None
        self.images_seen = 0
        self.step = 0
        self.seconds = 0.0
        self.seconds_evaluating = 0.0  # of `seconds`: those of the in-training evaluation
        self.meter = LossMeter()
        self.meter_since = (0, 0, 0.0)  # step, images seen and `seconds_of_steps` at the last row
        self.history: list[Row] = []
        self.evaluations: list[Row] = []
        self.samples: list[tuple[int, Tensor]] = []
        self.best: dict | None = None
        self.first_epoch: dict | None = None
        self.untrained: Row | None = None
        self.measure: str | None = None
        self.fixed_latents, self.fixed_labels = fixed_inputs(experiment, self.generator.n_classes, device)

    @property
    def seconds_of_steps(self) -> float:
        """How long it trained, without the in-training evaluation."""
        return self.seconds - self.seconds_evaluating

    @property
    def moving(self) -> dict[str, Tensor]:
        """The scalars on the device that are set before each step, by their names in `step_values`."""
        moving = {"noise_level": self.noise_level, **self.scheduled}
        if self.score_averages:
            moving |= {"keep": self.score_averages.keep, "active": self.score_averages.active}
        if self.adaptive_augmentation:
            moving["change"] = self.adaptive_augmentation.change
        return moving

    @property
    def sampler(self) -> nn.Module:
        """The generator that is published: the average where there is one."""
        return self.ema.module if self.ema else self.generator

    @torch.no_grad()
    def draw_fixed(self) -> Tensor:
        """The images of the fixed latents now: uint8 (n, C, H, W) on the CPU, computed as figures are."""
        with MEASURING.applied():
            images = self.sampler.eval()(self.fixed_latents, self.fixed_labels)
        self.generator.train()
        return to_uint8(images, self.experiment.output.image_range).cpu().contiguous()

    def measure_by(self, measure: str) -> bool:
        """From now on FIDs are taken by this measure (the classifier's version, the number of images).

        False where those so far were taken by another: they do not compare, and go, and the best with them.
        """
        same = self.measure in (None, measure)
        self.measure = measure
        if not same:
            self.best = self.untrained = None
            self.evaluations = [_without_fid(row) for row in self.evaluations]
            if self.first_epoch:
                self.first_epoch = {**self.first_epoch, "row": _without_fid(self.first_epoch["row"])}
        return same

    def keep_best(self, fid: float) -> None:
        """Remember the weights of this moment as the best so far."""
        self.best = {
            "images_seen": self.images_seen,
            "fid": fid,
            "generator": cpu_copy(self.sampler.state_dict()),
            "discriminator": cpu_copy(self.discriminator.state_dict()),
        }

    def not_finite(self) -> list[str]:
        """Which networks hold a weight or statistic that is NaN or infinite."""
        networks = {"generator": self.generator, "discriminator": self.discriminator}
        return [name for name, network in networks.items() if not _all_finite(network.state_dict())]

    def gradient_norms(self, *, of_generator: bool) -> dict[str, Tensor]:
        """The L2 norm of the latest gradient over all weights of D and, where asked for, of G."""
        networks = {"d": self.discriminator} | ({"g": self.generator} if of_generator else {})
        norms = {}
        for name, network in networks.items():
            gradients = [weight.grad for weight in network.parameters() if weight.grad is not None]
            norms[f"{name}_gradient_norm"] = torch.stack(torch._foreach_norm(gradients)).norm()
        return norms

    def state_dict(self) -> dict:
        """All that changes while training, in types that `torch.load(weights_only=True)` takes."""
        return {
            "generator": self.generator.state_dict(),
            "discriminator": self.discriminator.state_dict(),
            "optimizers": {name: optimizer.state_dict() for name, optimizer in self.optimizers.items()},
            "ema": self.ema.module.state_dict() if self.ema else None,
            "adaptive_augmentation": _state_dict(self.adaptive_augmentation),
            "score_averages": _state_dict(self.score_averages),
            "noise": self.noise.generator.get_state(),
            "noise_device": self.device.type,
            "precision": self.precision,
            "images_seen": self.images_seen,
            "step": self.step,
            "seconds": self.seconds,
            "seconds_evaluating": self.seconds_evaluating,
            "meter": self.meter.state_dict(),
            "meter_since": list(self.meter_since),
            "history": self.history,
            "evaluations": self.evaluations,
            "samples": [list(sample) for sample in self.samples],
            "best": self.best,
            "first_epoch": self.first_epoch,
            "untrained": self.untrained,
            "measure": self.measure,
        }

    def frozen(self) -> dict:
        """`state_dict` on the CPU, as it is now: later steps do not change it. The records only grow."""
        records = ("history", "evaluations", "samples", "best", "first_epoch")
        state = self.state_dict()
        moving = {name: value for name, value in state.items() if name not in records}
        return state | _frozen(moving) | {name: list(state[name]) for name in records[:3]}

    def load_state_dict(self, state: dict) -> None:
        """Continue from `state_dict`. Exact on the same kind of device; on another the noise is reseeded."""
        self.generator.load_state_dict(state["generator"])
        self.discriminator.load_state_dict(state["discriminator"])
        for name, optimizer in self.optimizers.items():
            load_optimizer(optimizer, state["optimizers"][name])
        if self.ema:
            self.ema.module.load_state_dict(state["ema"])
        if self.adaptive_augmentation:
            self.adaptive_augmentation.load_state_dict(state["adaptive_augmentation"])
        if self.score_averages:
            self.score_averages.load_state_dict(state["score_averages"])
        if state["noise_device"] == self.device.type:
            self.noise.generator.set_state(state["noise"].cpu())
        else:
            self.noise.generator.manual_seed(
                stream_seed(self.experiment.seed, "steps") + state["images_seen"]
            )
        self.images_seen, self.step, self.seconds = state["images_seen"], state["step"], state["seconds"]
        self.meter.load_state_dict(state["meter"], self.device)
        self.meter_since = tuple(state["meter_since"])
        self.history, self.evaluations = list(state["history"]), list(state["evaluations"])
        self.samples = [(seen, images) for seen, images in state["samples"]]
        self.best, self.measure = state["best"], state["measure"]
        # Checkpoints of earlier versions have none of these.
        self.first_epoch, self.untrained = state.get("first_epoch"), state.get("untrained")
        self.seconds_evaluating = state.get("seconds_evaluating", 0.0)

    def _average(self) -> GeneratorEMA | None:
        decay = self.experiment.averaging_decay
        return None if decay is None else GeneratorEMA(self.generator, self.scheduled.get(EMA_DECAY, decay))

    def _adaptive_augmentation(self) -> AdaptiveAugmentation | None:
        objective = self.experiment.objective
        if objective.augmentation_target is None:
            return None
        start, target = objective.augmentation_probability, objective.augmentation_target
        return AdaptiveAugmentation(start, target, self.device)

    def _augmentation_probability(self) -> Tensor | None:
        """A scalar on the device, or None where every image is augmented."""
        probability = self.experiment.objective.augmentation_probability
        if self.adaptive_augmentation:
            return self.adaptive_augmentation.probability
        if AUGMENTATION_PROBABILITY in self.scheduled:
            return self.scheduled[AUGMENTATION_PROBABILITY]
        return None if probability == 1 else torch.full((), probability, device=self.device)

    def _on_device(self, network: nn.Module) -> nn.Module:
        for module in network.modules():
            if isinstance(module, Dropout):
                module.draw = self.noise.mask
            elif isinstance(module, MinibatchDiscrimination | MinibatchStddev):
                module.gather = self.ranks.gather
                if isinstance(module, MinibatchStddev):
                    module.share = self.ranks.share
        layout = image_memory_format(self.device)
        return self.ranks.synchronise_norms(network.to(self.device, memory_format=layout))


def fixed_inputs(
    experiment: Experiment, n_classes: int, device: torch.device | str
) -> tuple[Tensor, Tensor | None]:
    """What a training draws its samples over time from: latents (n, latent.size), the same on every device,
    and the classes int64 (n,) of a conditional generator; with few classes, each of them equally often."""
    count = FIXED_SAMPLES
    if 0 < n_classes <= count:
        count -= count % n_classes
    numbers = torch.Generator("cpu").manual_seed(stream_seed(experiment.seed, "samples"))
    latents = draw_latents(experiment.latent, count, numbers).to(device)
    labels = torch.arange(count, device=device) % n_classes if n_classes else None
    return latents, labels


def cpu_copy(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """A copy on the CPU that later steps do not change."""
    return {name: value.detach().cpu().clone() for name, value in weights.items()}


def _state_dict(part: AdaptiveAugmentation | ScoreAverages | None) -> dict[str, Tensor] | None:
    return part.state_dict() if part else None


def _without_fid(row: Row) -> Row:
    return {name: value for name, value in row.items() if name not in BY_FEATURES}


def is_finite(state: dict) -> bool:
    """Whether all weights of a `state_dict`, and the losses since its last row, are finite."""
    parts = (state["generator"], state["discriminator"], state["meter"]["sums"])
    return all(_all_finite(part) for part in parts if part)


def _frozen(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, dict):
        copied = copy.copy(value)  # with what torch's own dicts carry beside their items
        copied.update({key: _frozen(item) for key, item in value.items()})
        return copied
    return [_frozen(item) for item in value] if isinstance(value, list) else value


def _all_finite(weights: dict[str, Tensor]) -> bool:
    values = [value for value in weights.values() if value.is_floating_point()]
    return bool(torch.stack([value.isfinite().all() for value in values]).all())
