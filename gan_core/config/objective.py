"""The sections `objective` and `conditioning` of an experiment: what its two networks minimise."""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, model_validator

from gan_core.config.base import Config, Contradiction, Flag, Weight, refuse_unknown_keys, registered_in
from gan_core.objectives import AUGMENTATIONS, OBJECTIVES, PENALTIES


class Objective(Config):
    """The adversarial loss, its penalties, and what is done to D's input and targets.

    The weight of each penalty in `gan_core.objectives.penalties` is a key, 0 by default: `gradient_penalty`
    is WGAN-GP's lambda, `r1` and `r2` the gammas of R1 and R2 (Mescheder et al. 2018), `lecam` the lambda of
    LeCam (Tseng et al. 2021). `gradients_at` says where R1 and R2 are taken: at the `augmented` images, or
    through the augmentation at the `original` ones, as in R3GAN (arXiv 2501.05441). `weight_clip` is the
    bound of every weight of a Wasserstein critic. `label_smoothing` s makes D's target for real images 1 - s,
    one-sided (Salimans et al. 2016). `instance_noise` is the standard deviation of the noise on D's input at
    the start of the run; it falls linearly to 0 (Sønderby et al. 2017). `differentiable_augmentation` names
    the transformations of Zhao et al. 2020 that real and generated images go through before D, each with
    `augmentation_probability`. With an `augmentation_target` (0.6 in StyleGAN2-ADA) that is where it begins,
    and it follows how surely D recognises real images: the share that it takes for real minus the share that
    it does not is held at the target.
    """

    model_config = ConfigDict(extra="allow")  # the penalties' weights
    __pydantic_extra__: dict[str, Weight]

    name: Annotated[str, registered_in(OBJECTIVES)] = "non_saturating"
    weight_clip: Annotated[float, Field(ge=0, le=100)] = 0.0
    label_smoothing: Annotated[float, Field(ge=0, lt=0.5)] = 0.0
    instance_noise: Annotated[float, Field(ge=0, le=100)] = 0.0
    differentiable_augmentation: tuple[Annotated[str, registered_in(AUGMENTATIONS)], ...] = ()
    augmentation_probability: Annotated[float, Field(ge=0, le=1)] = 1.0
    augmentation_target: Annotated[float, Field(gt=-1, lt=1)] | None = None
    gradients_at: Literal["augmented", "original"] = "augmented"

    @classmethod
    def keys(cls) -> list[str]:
        return [*super().keys(), *PENALTIES]

    @property
    def penalties(self) -> dict[str, float]:
        """The weights of the penalties that are on, in the order of the registry."""
        given = self.__pydantic_extra__ or {}
        return {name: given[name] for name in PENALTIES if given.get(name)}

    @property
    def penalises_single_images(self) -> bool:
        """Whether a penalty looks at each image by itself."""
        return any(PENALTIES[name].per_image for name in self.penalties)

    @property
    def bounds_critic(self) -> bool:
        """Whether a penalty or the clipping makes D Lipschitz."""
        return bool(self.weight_clip) or any(PENALTIES[name].bounds_critic for name in self.penalties)

    def identity(self, **chosen) -> dict[str, Any]:
        return super().identity(**chosen) | self.penalties

    @model_validator(mode="before")
    @classmethod
    def _only_known_keys(cls, values: Any) -> Any:
        refuse_unknown_keys(values, cls.keys())
        return values

    @model_validator(mode="after")
    def _consistent(self):
        loss = OBJECTIVES[self.name]
        if self.weight_clip and not loss.needs_bound:
            bounded = ", ".join(f"`{name}`" for name, other in OBJECTIVES.items() if other.needs_bound)
            raise Contradiction("weight_clip", f"weight_clip is for objective {bounded}: remove it")
        bounding = [name for name in self.penalties if PENALTIES[name].bounds_critic]
        if self.weight_clip and bounding:
            raise Contradiction(
                "weight_clip", f"weight_clip and {bounding[0]} both bound the critic: keep one of them"
            )
        if self.label_smoothing and not loss.smoothable:
            smoothable = ", ".join(name for name, other in OBJECTIVES.items() if other.smoothable)
            raise Contradiction(
                "label_smoothing",
                f"objective `{self.name}` has no labels to smooth: remove label_smoothing, or use one of "
                f"{smoothable}",
            )
        if len(set(self.differentiable_augmentation)) != len(self.differentiable_augmentation):
            raise Contradiction("differentiable_augmentation", "differentiable_augmentation names one twice")
        if self.augmentation_target is not None and self.augmentation_probability == 1:
            raise Contradiction(
                "augmentation_target",
                "augmentation_target raises augmentation_probability, which is 1 already: set it to 0",
            )
        if self.augmentation_probability != 1 and not self.differentiable_augmentation:
            raise Contradiction(
                "augmentation_probability",
                "there is nothing to apply: set differentiable_augmentation, or remove it",
            )
        if self.gradients_at != "augmented" and not any(PENALTIES[name].at_images for name in self.penalties):
            at_images = " or ".join(name for name, penalty in PENALTIES.items() if penalty.at_images)
            raise Contradiction(
                "gradients_at", f"gradients_at is for {at_images}: set the weight of one, or remove it"
            )
        return self


class Conditioning(Config):
    """How the class enters. In G it stands one-hot beside the latent, or chooses the norms' scales and shifts
    (`architecture.generator_norm: conditional_batch`).

    `acgan`: an auxiliary classifier on D (Odena et al. 2017). `d_scale` and `g_scale` weigh its cross-entropy
    in the two losses. `on_fakes`: whether D's classifier is also trained on generated images, as in the ACGAN
    paper; WGAN-GP's authors train it on real images only. `projection`: D's score gets the inner product of
    its features with an embedding of the class (Miyato and Koyama 2018).
    """

    name: Literal["none", "acgan", "projection"] = "none"
    d_scale: Weight = 1.0
    g_scale: Weight = 1.0
    on_fakes: Flag = False

    @model_validator(mode="after")
    def _scales(self):
        if self.name != "acgan" and (self.d_scale, self.g_scale, self.on_fakes) != (1.0, 1.0, False):
            raise Contradiction(
                "name", "d_scale, g_scale and on_fakes are for conditioning `acgan`: remove them"
            )
        return self
