"""How a number was measured. Numbers with different protocols never compare."""

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Protocol:
    """Everything that decides what a metric's number means.

    `weights` is the first 12 hex digits of the sha256 of the extractor's weights, `samples` the number of
    generated images. `real` names the real images (`digits/train`), `real_images` counts them, and
    `real_hash` (8 hex digits) tells apart contents of one name; the three are None for a metric without real
    images. `resize` says how images came to the extractor's size, `settings` what else decides the metric,
    such as `kid=100x1000`.
    """

    extractor: str
    weights: str
    samples: int
    real: str | None = None
    real_images: int | None = None
    real_hash: str | None = None
    resize: str = "none"
    seed: int = 0
    settings: str = ""

    def __str__(self) -> str:
        """One line, such as `classifier-1a2b3c4d5e6f n=2000 vs digits/train(1437)@9f8e7d6c seed=0`."""
        text = f"{self.extractor}-{self.weights} n={self.samples}"
        if self.real is not None:
            text += f" vs {self.real}({self.real_images})@{self.real_hash}"
        text += f" seed={self.seed}"
        if self.resize != "none":
            text += f" resize={self.resize}"
        return f"{text} {self.settings}" if self.settings else text

    def with_settings(self, settings: str) -> "Protocol":
        """The same for a metric with settings of its own."""
        return replace(self, settings=settings)

    def without_real(self) -> "Protocol":
        """The same for a metric that looks at the generated images only."""
        return replace(self, real=None, real_images=None, real_hash=None)
