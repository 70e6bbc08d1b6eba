"""Everything that a run is made of at one moment: what a checkpoint holds."""

import torch
from torch import Tensor, nn

from gan_core.config import Experiment, Optimizer
from gan_core.images import to_uint8
from gan_core.models import build_discriminator, build_generator, draw_latents
from gan_core.training.average import GeneratorAverage
from gan_core.training.history import LossMeter, Row

FIXED_SAMPLES = 16


class TrainingState:
    """The networks and their optimisers, the average, the random numbers, the counters and the records.

    Built from `experiment.seed` alone and without touching torch's global random state; a checkpoint then
    overwrites it. `noise` is the one source of random numbers of the steps. The place in the data is
    `images_seen`. `samples` holds (images_seen, uint8 (n, C, H, W)) of each sampling time.
    """

    def __init__(
        self,
        experiment: Experiment,
        *,
        channels: int,
        image_size: int,
        n_classes: int,
        device: torch.device,
    ):
        self.experiment, self.device = experiment, device
        shape = {"channels": channels, "image_size": image_size, "n_classes": n_classes}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(experiment.seed)
            generator = build_generator(experiment, **shape)
            discriminator = build_discriminator(experiment, **shape)
        # Convolutions run faster so, on CPU (1.1 to 3 times) and on GPU.
        self.generator = generator.to(device, memory_format=torch.channels_last)
        self.discriminator = discriminator.to(device, memory_format=torch.channels_last)
        self.generator_optimizer = build_optimizer(generator, experiment.optimizers.generator)
        self.discriminator_optimizer = build_optimizer(discriminator, experiment.optimizers.discriminator)
        self.average = GeneratorAverage(generator, experiment.ema_decay) if experiment.ema_decay else None
        self.noise = torch.Generator(device).manual_seed(experiment.seed)
        self.images_seen = 0
        self.step = 0
        self.seconds = 0.0
        self.meter = LossMeter()
        self.meter_since = (0, 0, 0.0)  # step, images seen and seconds at the last row
        self.history: list[Row] = []
        self.samples: list[tuple[int, Tensor]] = []
        self.fixed_latents, self.fixed_labels = self._fixed_inputs()

    @property
    def sampler(self) -> nn.Module:
        """The generator that is published: the average where there is one."""
        return self.average.module if self.average else self.generator

    @torch.no_grad()
    def draw_fixed(self) -> Tensor:
        """The images of the fixed latents now: uint8 (n, C, H, W) on the CPU."""
        sampler = self.sampler.eval()
        images = to_uint8(sampler(self.fixed_latents, self.fixed_labels)).cpu().contiguous()
        self.generator.train()
        return images

    def not_finite(self) -> list[str]:
        """Which networks hold a weight or statistic that is NaN or infinite."""
        networks = {"generator": self.generator, "discriminator": self.discriminator}
        return [name for name, network in networks.items() if not _all_finite(network)]

    def state_dict(self) -> dict:
        """All that changes while training, in types that `torch.load(weights_only=True)` takes."""
        return {
            "generator": self.generator.state_dict(),
            "discriminator": self.discriminator.state_dict(),
            "generator_optimizer": self.generator_optimizer.state_dict(),
            "discriminator_optimizer": self.discriminator_optimizer.state_dict(),
            "average": self.average.module.state_dict() if self.average else None,
            "noise": self.noise.get_state(),
            "noise_device": self.device.type,
            "images_seen": self.images_seen,
            "step": self.step,
            "seconds": self.seconds,
            "meter": self.meter.state_dict(),
            "meter_since": list(self.meter_since),
            "history": self.history,
            "samples": [list(sample) for sample in self.samples],
        }

    def load_state_dict(self, state: dict) -> None:
        """Continue from `state_dict`. Exact on the same kind of device; on another the noise is reseeded."""
        self.generator.load_state_dict(state["generator"])
        self.discriminator.load_state_dict(state["discriminator"])
        self.generator_optimizer.load_state_dict(state["generator_optimizer"])
        self.discriminator_optimizer.load_state_dict(state["discriminator_optimizer"])
        if self.average:
            self.average.module.load_state_dict(state["average"])
        if state["noise_device"] == self.device.type:
            self.noise.set_state(state["noise"].cpu())
        else:
            self.noise.manual_seed(self.experiment.seed + state["images_seen"])
        self.images_seen, self.step, self.seconds = state["images_seen"], state["step"], state["seconds"]
        self.meter.load_state_dict(state["meter"], self.device)
        self.meter_since = tuple(state["meter_since"])
        self.history = list(state["history"])
        self.samples = [(seen, images) for seen, images in state["samples"]]

    def _fixed_inputs(self) -> tuple[Tensor, Tensor | None]:
        """The same latents on every device; with few classes, each of them equally often."""
        n_classes = self.generator.n_classes
        count = FIXED_SAMPLES
        if 0 < n_classes <= count:
            count -= count % n_classes
        numbers = torch.Generator("cpu").manual_seed(self.experiment.seed)
        latents = draw_latents(self.experiment.latent, count, numbers).to(self.device)
        labels = torch.arange(count, device=self.device) % n_classes if n_classes else None
        return latents, labels


def build_optimizer(network: nn.Module, config: Optimizer) -> torch.optim.Optimizer:
    """The optimiser of one network. Fused: one kernel for all weights, on CPU and on GPU."""
    return torch.optim.Adam(
        network.parameters(), lr=config.learning_rate, betas=tuple(config.betas), fused=True
    )


def _all_finite(network: nn.Module) -> bool:
    values = [value for value in network.state_dict().values() if value.is_floating_point()]
    return bool(torch.stack([value.isfinite().all() for value in values]).all())
