"""The schema of `configs/experiments/*.yaml`: everything that a training can be."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator

from gan_core.config.base import (
    AbsentMeans,
    Config,
    Contradiction,
    Description,
    Flag,
    Images,
    Name,
    Seed,
    Tag,
)
from gan_core.config.networks import (
    Architecture,
    Latent,
    Output,
    with_default_architecture,
    with_default_output,
)
from gan_core.config.objective import Conditioning, Objective
from gan_core.config.optimizers import Optimizers
from gan_core.config.schedules import Schedules
from gan_core.errors import ConfigError
from gan_core.objectives import OBJECTIVES, PENALTIES
from gan_core.remedies import how_to_make

# What a guard may stop a run for. NaN and infinity always end it.
Verdict = Literal[
    "discriminator_wins",
    "vanished_gradients",
    "exploded_gradients",
    "mode_collapse",
    "far_from_real",
    "few_classes",
    "got_worse",
    "stagnation",
]


class Length(Config):
    """How long to train: real images shown to D, or epochs of the train split. Exactly one of them."""

    images: Images | None = None
    epochs: Annotated[float, Field(gt=0, le=1e6)] | None = None

    @model_validator(mode="after")
    def _one(self):
        if (self.images is None) == (self.epochs is None):
            raise ValueError("length needs exactly one of `images` and `epochs`")
        return self

    def total_images(self, train_images: int) -> int:
        """It in images seen, of a train split of so many."""
        return self.images or max(1, round(self.epochs * train_images))


class Experiment(Config):
    """One file of `configs/experiments/`, or one point of its grid.

    The clock is images seen: every real image shown to D counts one. `n_critic` is the number of D's steps
    for one of G; `n_critic_long` that for each of G's first 25 steps and for every 500th one (100 in the code
    of Arjovsky et al. 2017; 0: those as any other). `fresh_fakes`: G's step draws images of its own, where it
    otherwise learns from those that D has just seen, judged again; `generator_batch_factor` times as many as
    D's step then (2 in WGAN-GP's code for CIFAR-10 and in pytorch-gan-collections).

    `shuffle_window`: images are shuffled among so many, taken from shards in a shuffled order; a dataset that
    does not fit into memory streams through it. `ema_decay` averages G's weights, by step of G;
    `ema_half_life` does so by images seen, after which what G was counts half. `publish`: the generator that
    is drawn from, that of the end or that of the best in-training FID. `stop_on`: the verdicts that end a run
    early, after a tenth of it, and keep the best generator. `tags`: words of yours, by which the
    leaderboard's page can be filtered.

    What only watches does not change what is trained: `checkpoint_every`, `sample_every` (by default a
    sixteenth of the run) and `evaluate_every` (by default an eighth of the run, 50,000 at most; images seen
    all three), `log_every` (steps of D), `evaluation_samples`
    (images drawn for the in-training FID), and `keep_checkpoints`, the number of newest checkpoints kept
    beside the best one.
    """

    name: Name
    description: Description = ""
    tags: Annotated[tuple[Tag, ...], Field(max_length=20)] = ()
    dataset: Name
    architecture: Architecture = Architecture()
    latent: Latent = Latent()
    output: Output = Output()
    objective: Objective = Objective()
    conditioning: Conditioning = Conditioning()
    optimizers: Optimizers = Optimizers()
    learning_rate_decay: Literal["none", "linear"] = "none"
    schedules: Schedules = Schedules()
    n_critic: Annotated[int, Field(ge=1, le=1_000)] = 1
    n_critic_long: Annotated[int, Field(ge=0, le=1_000)] = 0
    fresh_fakes: Flag = False
    generator_batch_factor: Annotated[int, Field(ge=1, le=16)] = 1
    batch_size: Annotated[int, Field(ge=2, le=65_536)] = 64
    length: Length
    horizontal_flips: Flag = False
    ema_decay: Annotated[float, Field(gt=0, lt=1)] | None = None
    ema_half_life: Annotated[float, Field(ge=0, le=1e12)] | None = None
    precision: Literal["fp32", "bf16", "auto"] = "fp32"
    penalty_precision: Literal["fp32", "bf16"] = "fp32"
    seed: Seed = 0
    shuffle_window: Images = 65_536
    publish: Literal["last", "best"] = "last"
    stop_on: tuple[Verdict, ...] = ()
    checkpoint_every: Images = 50_000
    keep_checkpoints: Annotated[int, Field(ge=1, le=1_000)] = 2
    sample_every: Annotated[Images | None, AbsentMeans(50_000)] = None
    evaluate_every: Annotated[Images | None, AbsentMeans(50_000)] = None
    evaluation_samples: Annotated[int, Field(ge=64, le=10**6)] = 2_000
    log_every: Images = 100

    @model_validator(mode="before")
    @classmethod
    def _defaults(cls, values: Any) -> Any:
        """Fill in what follows from other keys, so that the fingerprint holds what is really built."""
        if not isinstance(values, dict):
            return values
        sections = {key: values.get(key, {}) for key in ("architecture", "objective", "output")}
        if not all(isinstance(section, dict) for section in sections.values()):
            return values
        return {
            **values,
            "architecture": with_default_architecture(sections["architecture"], sections["objective"]),
            "output": with_default_output(sections["output"]),
        }

    @model_validator(mode="after")
    def _consistent(self):
        for check in CHECKS:
            check(self)
        return self

    @property
    def conditional(self) -> bool:
        return self.conditioning.name != "none"

    @property
    def averaging_decay(self) -> float | None:
        """What the average of G's weights keeps of itself at each step of G, at the start of the run; None
        where there is no average."""
        return self.ema_decay if self.ema_half_life is None else self.decay_of(self.ema_half_life)

    def decay_of(self, half_life: float) -> float:
        """The decay by step of G for a half-life in images seen: 0.5^(images of a step of G / half-life)."""
        return 0.5 ** (self.batch_size * self.n_critic / half_life) if half_life else 0.0

    @property
    def decided_by_evaluation(self) -> bool:
        """Whether what is measured while it trains may end the run or choose what is published."""
        return self.publish == "best" or bool(self.stop_on)

    def training_config(self) -> dict[str, Any]:
        """The part of the configuration that decides what is trained, in full, as a manifest holds it."""
        return self.model_dump(mode="json", exclude=self._unrelated)

    def training_identity(self) -> dict[str, Any]:
        """What the fingerprint of a training is made of: see `Config.identity`."""
        return self.identity(exclude=self._unrelated)

    def dotted(self) -> dict[str, Any]:
        """The configuration that decides what is trained, by dotted key, such as `objective.name`."""
        return _flatten(self.training_config())

    @property
    def _unrelated(self) -> set[str]:
        """The keys that do not decide what is trained.

        How often is measured decides it where a measurement may end the run or choose what is published.
        (Of a run that diverged the best generator is published, and that depends on when it was measured; but
        such a run is no reason to train all others again for another `evaluate_every`.)
        """
        unrelated = {"name", "description", "tags", "checkpoint_every", "keep_checkpoints", "sample_every"}
        if not self.decided_by_evaluation:
            unrelated |= {"evaluate_every", "evaluation_samples", "log_every"}
        return unrelated


def recorded_experiment(config: Mapping[str, Any], name: str) -> Experiment:
    """The experiment that a `trained_gan` manifest of experiment `name` holds as its `config`.

    A key that it does not have yet has the value that its absence meant. Raises `ConfigError` where this
    version cannot read it.
    """
    try:
        return Experiment.recorded({**config, "name": name})
    except ValidationError as error:
        reasons = "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
        raise ConfigError(
            f"the manifest of trained_gan/{name} holds a configuration that this version cannot read "
            f"({reasons}): {how_to_make('trained_gan', name, force=True)}"
        ) from error


def config_changes(trained: Mapping[str, Any], new: Experiment) -> list[str]:
    """What differs in what decides a training: `batch_size 64 → 128`, by dotted key.

    `trained` is the `config` of the experiment's `trained_gan` manifest; one that this version cannot read
    counts as a change.
    """
    try:
        old = recorded_experiment(trained, new.name)
    except ConfigError as error:
        return [str(error)]
    kept, now = _flatten(old.training_identity()), _flatten(new.training_identity())
    before, after = old.dotted(), new.dotted()
    keys = sorted(key for key in kept.keys() | now.keys() if kept.get(key) != now.get(key))
    return [f"{key} {before.get(key, 'unset')} → {after.get(key, 'unset')}" for key in keys]


def require_same_configuration(trained: Mapping[str, Any], experiment: Experiment) -> None:
    """Raise `ConfigError` where `config_changes` has something to say."""
    if config_changes(trained, experiment):
        raise ConfigError(
            f"experiment `{experiment.name}` was trained with another configuration than it has now: "
            f"{how_to_make('trained_gan', experiment.name)} first"
        )


def _flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in config.items():
        flat |= _flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


# --- contradictions between sections ----------------------------------------------------------------------


def _tags_once(experiment: Experiment) -> None:
    for number, tag in enumerate(experiment.tags):
        if tag in experiment.tags[:number]:
            raise Contradiction("tags", f"`{tag}` is there twice: remove one")


def _single_images(experiment: Experiment) -> None:
    objective, architecture = experiment.objective, experiment.architecture
    if objective.penalises_single_images and architecture.discriminator_norm == "batch":
        raise Contradiction(
            "architecture.discriminator_norm",
            "a gradient penalty is taken image by image and has no meaning through batch norm: "
            "set architecture.discriminator_norm to `layer` or `none`",
        )
    forbidding = [name for name in objective.penalties if PENALTIES[name].forbids_minibatch]
    if forbidding and architecture.minibatch_layers:
        mixing = architecture.minibatch_layers[0]
        raise Contradiction(
            f"architecture.{mixing}",
            f"{forbidding[0]} is taken image by image, but {mixing} mixes the images of a batch: "
            "remove one of them",
        )


def _bounded_critic(experiment: Experiment) -> None:
    objective = experiment.objective
    bounded = objective.bounds_critic or experiment.architecture.spectral_norm
    if OBJECTIVES[objective.name].needs_bound and not bounded:
        bounds = [f"`{name}` ({item.usual})" for name, item in PENALTIES.items() if item.bounds_critic]
        raise Contradiction(
            "objective",
            f"objective `{objective.name}` needs {', '.join(bounds)}, `weight_clip` (0.01 in the paper) or "
            "`architecture.spectral_norm`: without one the critic is not Lipschitz",
        )


def _spectral_norm(experiment: Experiment) -> None:
    if experiment.architecture.spectral_norm and experiment.objective.weight_clip:
        raise Contradiction(
            "objective.weight_clip",
            "weight_clip has no effect on a layer that spectral_norm divides by its norm: remove one of them",
        )


def _penalty_precision(experiment: Experiment) -> None:
    if experiment.penalty_precision == "fp32":
        return
    if experiment.precision == "fp32":
        raise Contradiction(
            "penalty_precision",
            "penalties are in 16 bits only where the run is: set precision to `bf16` or `auto`, or remove "
            "penalty_precision",
        )
    if not experiment.objective.penalties:
        raise Contradiction(
            "penalty_precision", "the objective has no penalty that penalty_precision is for: remove it"
        )


def _one_average(experiment: Experiment) -> None:
    if experiment.ema_decay is not None and experiment.ema_half_life is not None:
        raise Contradiction(
            "ema_half_life", "ema_decay and ema_half_life say the same thing twice: remove one of them"
        )


def _scheduled_values(experiment: Experiment) -> None:
    schedules, objective = experiment.schedules, experiment.objective
    if schedules.learning_rate and experiment.learning_rate_decay != "none":
        raise Contradiction(
            "schedules.learning_rate",
            f"learning_rate_decay `{experiment.learning_rate_decay}` moves the rates too: remove one of them",
        )
    if schedules.learning_rate and not schedules.learning_rate.to <= 1:
        raise Contradiction("schedules.learning_rate.to", "a rate above 1 trains nothing: lower it")
    optimizers = (experiment.optimizers.generator, experiment.optimizers.discriminator)
    if schedules.beta2 and not any(optimizer.name == "adam" for optimizer in optimizers):
        raise Contradiction("schedules.beta2", "beta2 is a setting of `adam`: remove its schedule")
    if schedules.beta2 and schedules.beta2.to >= 1:
        raise Contradiction("schedules.beta2.to", f"beta2 is below 1, not {schedules.beta2.to:g}: lower it")
    if schedules.ema_half_life and experiment.ema_half_life is None:
        raise Contradiction(
            "schedules.ema_half_life",
            "the schedule begins at ema_half_life, which is not set: set it, for example to 0",
        )
    for name in schedules.penalties:
        if name not in objective.penalties:
            raise Contradiction(
                f"schedules.{name}",
                f"the schedule begins at objective.{name}, which is not set: set it, or remove the schedule",
            )
    _scheduled_augmentation(experiment)


def _scheduled_augmentation(experiment: Experiment) -> None:
    objective, schedule = experiment.objective, experiment.schedules.augmentation_probability
    if schedule and not objective.differentiable_augmentation:
        raise Contradiction(
            "schedules.augmentation_probability",
            "there is nothing to apply: set objective.differentiable_augmentation, or remove the schedule",
        )
    if schedule and objective.augmentation_target is not None:
        raise Contradiction(
            "schedules.augmentation_probability",
            "objective.augmentation_target moves the probability too: remove one of them",
        )
    if schedule and schedule.to > 1:
        raise Contradiction(
            "schedules.augmentation_probability.to", f"a probability is at most 1, not {schedule.to:g}"
        )


def _class_in_norms(experiment: Experiment) -> None:
    if experiment.architecture.class_in_norms and not experiment.conditional:
        raise Contradiction(
            "architecture.generator_norm",
            "`conditional_batch` has a scale and a shift for each class, but G has no classes: set "
            "conditioning.name to `projection` or `acgan`, or generator_norm to `batch`",
        )


def _generator_batch(experiment: Experiment) -> None:
    if experiment.generator_batch_factor > 1 and not experiment.fresh_fakes:
        raise Contradiction(
            "generator_batch_factor",
            "generator_batch_factor is for images that G's step draws itself: set `fresh_fakes: true`, or "
            "remove it",
        )
    if experiment.generator_batch_factor > 1 and OBJECTIVES[experiment.objective.name].compares_pairs:
        raise Contradiction(
            "generator_batch_factor",
            f"objective `{experiment.objective.name}` compares each generated image with a real one, of "
            "which there are `batch_size`: set generator_batch_factor to 1",
        )


def _long_critic(experiment: Experiment) -> None:
    if 0 < experiment.n_critic_long < experiment.n_critic:
        raise Contradiction(
            "n_critic_long",
            f"n_critic_long is the number of steps of D where they are more than n_critic's "
            f"{experiment.n_critic}: raise it, or set it to 0",
        )


def _groups(experiment: Experiment) -> None:
    group = experiment.architecture.minibatch_stddev_group
    if group and experiment.batch_size % group:
        raise Contradiction(
            "architecture.minibatch_stddev_group",
            f"groups of {group} do not divide a batch of {experiment.batch_size}: change "
            "minibatch_stddev_group or batch_size",
        )


CHECKS = (
    _tags_once,
    _single_images,
    _bounded_critic,
    _spectral_norm,
    _class_in_norms,
    _generator_batch,
    _long_critic,
    _groups,
    _penalty_precision,
    _one_average,
    _scheduled_values,
)
