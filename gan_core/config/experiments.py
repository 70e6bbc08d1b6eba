"""The schema of `configs/experiments/*.yaml`: everything that a training can be."""

from typing import Annotated, Any, Literal

from pydantic import (
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    StrictBool,
    model_validator,
)

from gan_core.config.base import Config, Contradiction, Name

# Sides in pixels that each architecture can make.
ARCHITECTURE_SIZES = {
    "dcgan": (16, 32, 64, 128, 256),
    "dense_dcgan": (64,),
    "resnet": (32, 64, 128),
    "mlp": (8, 16, 28, 32, 64, 128),
}
# The papers' sizes, where `width` is not given: DCGAN; the classroom network; WGAN-GP's ResNet; any.
DEFAULT_WIDTHS = {"dcgan": 64, "dense_dcgan": 32, "resnet": 128, "mlp": 512}
# The settings of other optimisers than the named one.
FOREIGN_SETTINGS = {"adam": ("smoothing", "momentum"), "rmsprop": ("betas",), "sgd": ("betas", "smoothing")}
SMOOTHABLE = ("minimax", "non_saturating", "least_squares")
# What a guard may stop a run for. NaN and infinity always end it.
Verdict = Literal[
    "discriminator_wins",
    "vanished_gradients",
    "exploded_gradients",
    "mode_collapse",
    "stagnation",
]
Fraction = Annotated[float, Field(ge=0, lt=1)]


class Architecture(Config):
    """The pair of networks.

    `width` is the number of filters at the outermost layer (DCGAN's ngf; for `resnet` of the outermost block,
    128 by default, which suits 32 pixels; for `mlp` the units of each layer); `discriminator_width` is D's
    where it is another one. `discriminator_norm` defaults to batch norm (`mlp`: none); to layer norm under a
    penalty on D's gradient, which is taken image by image and has no meaning through batch norm (Gulrajani et
    al. 2017, section 4); and to none with `spectral_norm`, which normalises every layer of D by its largest
    singular value (Miyato et al. 2018).
    `dropout` is the share of D's activations that are dropped after each hidden layer.
    `minibatch_discrimination` is the number of its kernels (Salimans et al. 2016; 0: off);
    `minibatch_stddev` gives D the spread within the batch (Karras et al. 2018). `initialization`: N(0, 0.02),
    orthogonal, or Glorot's uniform (`xavier`).
    """

    name: Literal["dcgan", "dense_dcgan", "resnet", "mlp"] = "dcgan"
    width: PositiveInt = 64
    discriminator_width: PositiveInt = 64
    generator_norm: Literal["batch", "layer", "none"] = "batch"
    discriminator_norm: Literal["batch", "layer", "none"] = "batch"
    spectral_norm: StrictBool = False
    dropout: Fraction = 0.0
    minibatch_discrimination: NonNegativeInt = 0
    minibatch_stddev: StrictBool = False
    initialization: Literal["normal", "orthogonal", "xavier"] = "normal"


class Latent(Config):
    """The generator's input: `size` numbers, from N(0, 1) or U(-1, 1)."""

    size: Annotated[int, Field(ge=1, le=10_000)] = 100
    distribution: Literal["normal", "uniform"] = "normal"


class Output(Config):
    """The generator's last activation, and the range in which both networks see images.

    tanh goes with [-1, 1] and sigmoid with [0, 1]: `image_range` follows `activation` where it is not given.
    """

    activation: Literal["tanh", "sigmoid"] = "tanh"
    image_range: tuple[float, float] = (-1.0, 1.0)

    @model_validator(mode="after")
    def _same_range(self):
        right = (-1.0, 1.0) if self.activation == "tanh" else (0.0, 1.0)
        if self.image_range != right:
            low, high = (f"{value:g}" for value in self.image_range)
            raise Contradiction(
                "image_range",
                f"`{self.activation}` draws images in [{right[0]:g}, {right[1]:g}], but image_range is "
                f"[{low}, {high}]: D would tell real from fake by the range alone. Leave image_range out, or "
                f"set it to [{right[0]:g}, {right[1]:g}]",
            )
        return self


class Objective(Config):
    """The adversarial loss, its penalties, and what is done to D's input and targets.

    `gradient_penalty` is the weight lambda of WGAN-GP's penalty, `r1` the gamma of R1 (Mescheder et al.
    2018), `weight_clip` the bound of every weight of a Wasserstein critic. `label_smoothing` s makes D's
    target for real images 1 - s, one-sided (Salimans et al. 2016). `instance_noise` is the standard deviation
    of the noise on D's input at the start of the run; it falls linearly to 0 (Sønderby et al. 2017).
    `differentiable_augmentation` names the transformations of Zhao et al. 2020 that real and generated images
    go through before D.
    """

    name: Literal["minimax", "non_saturating", "least_squares", "hinge", "wasserstein"] = "non_saturating"
    gradient_penalty: NonNegativeFloat = 0.0
    r1: NonNegativeFloat = 0.0
    weight_clip: NonNegativeFloat = 0.0
    label_smoothing: Annotated[float, Field(ge=0, lt=0.5)] = 0.0
    instance_noise: NonNegativeFloat = 0.0
    differentiable_augmentation: tuple[Literal["color", "translation", "cutout"], ...] = ()

    @model_validator(mode="after")
    def _consistent(self):
        if self.weight_clip and self.name != "wasserstein":
            raise Contradiction("weight_clip", "weight_clip is for objective `wasserstein`: remove it")
        if self.weight_clip and self.gradient_penalty:
            raise Contradiction(
                "weight_clip", "weight_clip and gradient_penalty both bound the critic: keep one of them"
            )
        if self.label_smoothing and self.name not in SMOOTHABLE:
            raise Contradiction(
                "label_smoothing",
                f"objective `{self.name}` has no labels to smooth: remove label_smoothing, or use one of "
                f"{', '.join(SMOOTHABLE)}",
            )
        if len(set(self.differentiable_augmentation)) != len(self.differentiable_augmentation):
            raise Contradiction("differentiable_augmentation", "differentiable_augmentation names one twice")
        return self

    @property
    def penalises_gradient(self) -> bool:
        return bool(self.gradient_penalty or self.r1)


class Conditioning(Config):
    """How the class enters. In G it stands one-hot beside the latent.

    `acgan`: an auxiliary classifier on D (Odena et al. 2017). `d_scale` and `g_scale` weigh its cross-entropy
    in the two losses. `on_fakes`: whether D's classifier is also trained on generated images, as in the ACGAN
    paper; WGAN-GP's authors train it on real images only. `projection`: D's score gets the inner product of
    its features with an embedding of the class (Miyato and Koyama 2018).
    """

    name: Literal["none", "acgan", "projection"] = "none"
    d_scale: NonNegativeFloat = 1.0
    g_scale: NonNegativeFloat = 1.0
    on_fakes: bool = False

    @model_validator(mode="after")
    def _scales(self):
        if self.name != "acgan" and (self.d_scale, self.g_scale, self.on_fakes) != (1.0, 1.0, False):
            raise Contradiction(
                "name", "d_scale, g_scale and on_fakes are for conditioning `acgan`: remove them"
            )
        return self


class Optimizer(Config):
    """One network's optimiser. `betas` are Adam's, `smoothing` RMSProp's, `momentum` SGD's and RMSProp's."""

    name: Literal["adam", "rmsprop", "sgd"] = "adam"
    learning_rate: PositiveFloat = 2e-4
    betas: tuple[Fraction, Fraction] = (0.5, 0.999)
    smoothing: Fraction = 0.99
    momentum: Fraction = 0.0
    weight_decay: NonNegativeFloat = 0.0

    @model_validator(mode="after")
    def _own_settings(self):
        for key in FOREIGN_SETTINGS[self.name]:
            if getattr(self, key) != type(self).model_fields[key].default:
                raise Contradiction(key, f"{key} is no setting of `{self.name}`: remove it")
        return self


class Optimizers(Config):
    generator: Optimizer = Optimizer()
    discriminator: Optimizer = Optimizer()


class Length(Config):
    """How long to train: real images shown to D, or epochs of the train split. Exactly one of them."""

    images: PositiveInt | None = None
    epochs: PositiveFloat | None = None

    @model_validator(mode="after")
    def _one(self):
        if (self.images is None) == (self.epochs is None):
            raise ValueError("length needs exactly one of `images` and `epochs`")
        return self


class Experiment(Config):
    """One file of `configs/experiments/`, or one point of its grid.

    The clock is images seen: every real image shown to D counts one. `shuffle_window`: images are shuffled
    among so many, taken from shards in a shuffled order; a dataset that does not fit into memory streams
    through it. `publish`: the generator that is drawn from, that of the end or that of the best in-training
    FID. `stop_on`: the verdicts that end a run early, after a tenth of it, and keep the best generator.

    What only watches does not change what is trained: `checkpoint_every`, `sample_every` and `evaluate_every`
    (images seen), `log_every` (steps of D), `evaluation_samples` (images drawn for the in-training FID), and
    `keep_checkpoints`, the number of newest checkpoints kept beside the best one.
    """

    name: Name
    description: str = ""
    dataset: Name
    architecture: Architecture = Architecture()
    latent: Latent = Latent()
    output: Output = Output()
    objective: Objective = Objective()
    conditioning: Conditioning = Conditioning()
    optimizers: Optimizers = Optimizers()
    learning_rate_decay: Literal["none", "linear"] = "none"
    n_critic: PositiveInt = 1
    batch_size: Annotated[int, Field(ge=2)] = 64
    length: Length
    horizontal_flips: bool = False
    ema_decay: Annotated[float, Field(gt=0, lt=1)] | None = None
    precision: Literal["fp32", "bf16"] = "fp32"
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    shuffle_window: PositiveInt = 65_536
    publish: Literal["last", "best"] = "last"
    stop_on: tuple[Verdict, ...] = ()
    checkpoint_every: PositiveInt = 50_000
    keep_checkpoints: PositiveInt = 2
    sample_every: PositiveInt = 50_000
    evaluate_every: PositiveInt = 50_000
    evaluation_samples: Annotated[int, Field(ge=64)] = 2_000
    log_every: PositiveInt = 100

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
            "architecture": _default_architecture(sections["architecture"], sections["objective"]),
            "output": _default_output(sections["output"]),
        }

    @model_validator(mode="after")
    def _consistent(self):
        for check in (_gradient_of_one_image, _lipschitz, _spectral_norm, _mlp_layers):
            check(self)
        return self

    @property
    def conditional(self) -> bool:
        return self.conditioning.name != "none"

    @property
    def decided_by_evaluation(self) -> bool:
        """Whether what is measured while it trains may end the run or choose what is published."""
        return self.publish == "best" or bool(self.stop_on)

    def training_config(self) -> dict[str, Any]:
        """The part of the configuration that decides what is trained: the fingerprint is made of it.

        How often is measured decides it too, where a measurement may end the run or choose what is published.
        (Of a run that diverged the best generator is published, and that depends on when it was measured; but
        such a run is no reason to train all others again for another `evaluate_every`.)
        """
        unrelated = {"name", "description", "checkpoint_every", "keep_checkpoints", "sample_every"}
        if not self.decided_by_evaluation:
            unrelated |= {"evaluate_every", "evaluation_samples", "log_every"}
        return self.model_dump(mode="json", exclude=unrelated)


def _default_architecture(architecture: dict, objective: dict) -> dict:
    name = architecture.get("name", "dcgan")
    norm = "batch" if name != "mlp" else "none"
    if architecture.get("spectral_norm") is True:
        discriminator_norm = "none"
    elif objective.get("gradient_penalty") or objective.get("r1"):
        discriminator_norm = "layer" if name != "mlp" else "none"
    else:
        discriminator_norm = norm
    width = DEFAULT_WIDTHS.get(name, 64) if isinstance(name, str) else 64
    given = {key: value for key, value in architecture.items() if value is not None}
    defaults = {
        "width": width,
        "discriminator_width": given.get("width", width),
        "generator_norm": norm,
        "discriminator_norm": discriminator_norm,
    }
    return {**defaults, **given}


def _default_output(output: dict) -> dict:
    sigmoid = output.get("activation") == "sigmoid"
    return {"image_range": (0.0, 1.0) if sigmoid else (-1.0, 1.0), **output}


# --- contradictions between sections ----------------------------------------------------------------------


def _gradient_of_one_image(experiment: Experiment) -> None:
    objective, architecture = experiment.objective, experiment.architecture
    if objective.penalises_gradient and architecture.discriminator_norm == "batch":
        raise Contradiction(
            "architecture.discriminator_norm",
            "a gradient penalty is taken image by image and has no meaning through batch norm: "
            "set architecture.discriminator_norm to `layer` or `none`",
        )
    mixing = [key for key in ("minibatch_discrimination", "minibatch_stddev") if getattr(architecture, key)]
    if objective.gradient_penalty and mixing:
        raise Contradiction(
            f"architecture.{mixing[0]}",
            f"a gradient penalty is taken image by image, but {mixing[0]} mixes the images of a batch: "
            "remove one of them",
        )


def _lipschitz(experiment: Experiment) -> None:
    objective = experiment.objective
    bounded = objective.gradient_penalty or objective.weight_clip or experiment.architecture.spectral_norm
    if objective.name == "wasserstein" and not bounded:
        raise Contradiction(
            "objective",
            "objective `wasserstein` needs `gradient_penalty` (10 in the paper), `weight_clip` (0.01 in the "
            "paper) or `architecture.spectral_norm`: without one the critic is not Lipschitz",
        )


def _spectral_norm(experiment: Experiment) -> None:
    if experiment.architecture.spectral_norm and experiment.objective.weight_clip:
        raise Contradiction(
            "objective.weight_clip",
            "weight_clip has no effect on a layer that spectral_norm divides by its norm: remove one of them",
        )


def _mlp_layers(experiment: Experiment) -> None:
    if experiment.architecture.name == "mlp" and experiment.architecture.minibatch_stddev:
        raise Contradiction(
            "architecture.minibatch_stddev",
            "minibatch_stddev adds a map of pixels, which `mlp` has not: use minibatch_discrimination",
        )
