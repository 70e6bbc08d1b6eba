"""The sections `architecture`, `latent` and `output` of an experiment: its two networks."""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from gan_core.config.base import AlwaysCounts, Config, Contradiction, Flag, Fraction, registered_in
from gan_core.models.architectures import ARCHITECTURES
from gan_core.objectives import PENALTIES

Width = Annotated[int, Field(ge=1, le=8_192), AlwaysCounts]
Norm = Annotated[Literal["batch", "layer", "none"], AlwaysCounts]
GeneratorNorm = Annotated[Literal["batch", "layer", "none", "conditional_batch"], AlwaysCounts]


class Architecture(Config):
    """The pair of networks.

    `width` is the number of filters at the outermost layer (DCGAN's ngf; for `resnet` of the outermost block,
    128 by default, which suits 32 pixels; for `mlp` the units of each layer); `discriminator_width` is D's
    where it is another one. `discriminator_norm` defaults to batch norm (`mlp`: none); to layer norm under a
    penalty on D's gradient, which is taken image by image and has no meaning through batch norm (Gulrajani et
    al. 2017, section 4); and to none with `spectral_norm`, which normalises every layer of D by its largest
    singular value (Miyato et al. 2018). `generator_norm: conditional_batch` has a scale and a shift for each
    class, and then the class does not stand beside the latent (de Vries et al. 2017; `resnet` has it).
    `dropout` is the share of D's activations that are dropped after each hidden layer.
    `minibatch_discrimination` is the number of its kernels (Salimans et al. 2016; 0: off);
    `minibatch_stddev` gives D the spread within the batch (Karras et al. 2018), `minibatch_stddev_group` that
    within groups of so many images (4 in their code; 0: the whole batch is one).
    `initialization`: N(0, 0.02), orthogonal, or Glorot's uniform (`xavier`).
    """

    name: Annotated[str, registered_in(ARCHITECTURES)] = "dcgan"
    width: Width = 64
    discriminator_width: Width = 64
    generator_norm: GeneratorNorm = "batch"
    discriminator_norm: Norm = "batch"
    spectral_norm: Flag = False
    dropout: Fraction = 0.0
    minibatch_discrimination: Annotated[int, Field(ge=0, le=10_000)] = 0
    minibatch_stddev: Flag = False
    minibatch_stddev_group: Annotated[int, Field(ge=0, le=65_536)] = 0
    initialization: Literal["normal", "orthogonal", "xavier"] = "normal"

    @model_validator(mode="after")
    def _possible(self):
        pair = ARCHITECTURES[self.name]
        if self.generator_norm not in pair.generator_norms:
            raise Contradiction(
                "generator_norm",
                f"architecture `{self.name}` has no generator_norm `{self.generator_norm}`; it has: "
                f"{', '.join(pair.generator_norms)}",
            )
        if self.minibatch_stddev and not pair.has_maps:
            raise Contradiction(
                "minibatch_stddev",
                f"minibatch_stddev adds a map of pixels, which `{self.name}` has not: "
                "use minibatch_discrimination",
            )
        if self.minibatch_stddev_group and not self.minibatch_stddev:
            raise Contradiction(
                "minibatch_stddev_group",
                "minibatch_stddev_group is the size of minibatch_stddev's groups, which is off: set "
                "`minibatch_stddev: true`, or remove it",
            )
        if self.minibatch_stddev_group == 1:
            raise Contradiction(
                "minibatch_stddev_group",
                "a group of one image has no spread: set minibatch_stddev_group to 2 or more, or to 0 for "
                "the whole batch",
            )
        return self

    @property
    def class_in_norms(self) -> bool:
        """Whether the class enters G through its norms, not beside the latent."""
        return self.generator_norm == "conditional_batch"

    @property
    def minibatch_layers(self) -> list[str]:
        """The keys of those layers of D that mix the images of a batch."""
        return [key for key in ("minibatch_discrimination", "minibatch_stddev") if getattr(self, key)]


class Latent(Config):
    """The generator's input: `size` numbers, from N(0, 1) or U(-1, 1)."""

    size: Annotated[int, Field(ge=1, le=10_000)] = 100
    distribution: Literal["normal", "uniform"] = "normal"


class Output(Config):
    """The generator's last activation, and the range in which both networks see images.

    tanh goes with [-1, 1] and sigmoid with [0, 1]: `image_range` follows `activation` where it is not given.
    """

    activation: Literal["tanh", "sigmoid"] = "tanh"
    image_range: Annotated[tuple[float, float], AlwaysCounts] = (-1.0, 1.0)

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


def with_default_architecture(architecture: dict[str, Any], objective: dict[str, Any]) -> dict[str, Any]:
    """The section as a file gives it, with what follows from other keys filled in."""
    name = architecture.get("name", "dcgan")
    pair = ARCHITECTURES.get(name) if isinstance(name, str) else None
    if pair is None:
        return architecture
    norm = pair.default_norm
    if architecture.get("spectral_norm") is True:
        discriminator_norm = "none"
    elif norm == "batch" and any(objective.get(key) for key, item in PENALTIES.items() if item.per_image):
        discriminator_norm = "layer"
    else:
        discriminator_norm = norm
    given = {key: value for key, value in architecture.items() if value is not None}
    defaults = {
        "width": pair.default_width,
        "discriminator_width": given.get("width", pair.default_width),
        "generator_norm": norm,
        "discriminator_norm": discriminator_norm,
    }
    return {**defaults, **given}


def with_default_output(output: dict[str, Any]) -> dict[str, Any]:
    """The section as a file gives it, with the range of its activation filled in."""
    sigmoid = output.get("activation") == "sigmoid"
    return {"image_range": (0.0, 1.0) if sigmoid else (-1.0, 1.0), **output}
