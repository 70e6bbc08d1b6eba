"""What the guards said of a training, read from its manifest and put into words. Imports no torch.

The guards themselves, with their thresholds, are `gan_core.training.guards`.
"""

from typing import Any, Literal

from gan_core.report.figures import escape_markdown, is_missing
from gan_core.store import Manifest

HEALTHY, UNKNOWN = "healthy", "unknown"
STOPPED = "(stopped)"
Level = Literal["healthy", "warned", "stopped", "unknown"]

# What the figure of each verdict is; that of `not_finite` is where it happened, which is said anyway.
FIGURE_NAMES = {
    "discriminator_wins": "The lower of D's two accuracies",
    "vanished_gradients": "Gradient norm of G over its first values",
    "exploded_gradients": "Gradient norm over its first values",
    "mode_collapse": "Diversity",
    "stagnation": "Share by which the second half lowered the FID",
}


def verdict_text(trained: Manifest | None) -> str:
    """`healthy`, `mode collapse (stopped), stagnation`, or `unknown` where the manifest has no verdict."""
    return str(trained.figures.get("verdict", UNKNOWN)) if trained else UNKNOWN


def verdict_level(text: str) -> Level:
    """How bad a text of `verdict_text` is."""
    if text in (HEALTHY, UNKNOWN):
        return text
    return "stopped" if STOPPED in text else "warned"


def findings(trained: Manifest) -> list[dict[str, Any]]:
    """The guards' findings: records with verdict, text, figure, images_seen and keys."""
    return trained.details.get("verdicts", [])


def finding_title(finding: dict[str, Any]) -> str:
    """`Mode collapse`."""
    return _capitalised(_words(finding["verdict"]))


def finding_figure(finding: dict[str, Any]) -> str:
    """The figure behind a finding, and where it was measured: `Diversity: 0.12, at 30,000 images seen`."""
    name, where = FIGURE_NAMES.get(finding["verdict"]), f"at {finding['images_seen']:,} images seen"
    if name is None or is_missing(finding["figure"]):
        return _capitalised(where)
    return f"{name}: {finding['figure']:.3g}, {where}"


def finding_sentence(finding: dict[str, Any]) -> str:
    """Everything that a finding says, in one paragraph."""
    seen = f"{finding_title(finding)}: {finding['text']}. {finding_figure(finding)}."
    return f"{seen} What usually helps: {'; '.join(finding['keys'])}."


def course(trained: Manifest) -> list[str]:
    """Sentences on a run that a guard ended, and on a published generator that is not the last one."""
    stopped_by, published = trained.details.get("stopped_by"), trained.details.get("published")
    seen = trained.figures.get("images_seen")
    sentences = []
    if stopped_by:
        sentences.append(
            f"The guard `{stopped_by}` stopped this training at {seen:,} images seen, {_planned(trained)}."
        )
    if published and (stopped_by or published["which"] == "best"):
        which = WHICH[published["which"]]
        sentences.append(
            f"Published, and so sampled and evaluated, is the generator {which}, of "
            f"{published['images_seen']:,} images seen."
        )
    return sentences


def verdict_markdown(trained: Manifest) -> str:
    """The course of a training and its findings, for Dagster's UI."""
    if verdict_text(trained) == UNKNOWN:
        return NOT_RECORDED
    sentences = course(trained) + [finding_sentence(finding) for finding in findings(trained)]
    return markdown_list(sentences or ["No guard found anything wrong."])


def markdown_list(sentences: list[str]) -> str:
    return "\n".join(f"- {escape_markdown(sentence)}" for sentence in sentences)


WHICH = {
    "best": "with the best in-training FID",
    "last": "of the end",
    "checkpoint": "of the last good checkpoint",
    "untrained": "as it was before training",
}
NOT_RECORDED = "This training has no verdict: it is older than the guards. Train it again to get one."


def _planned(trained: Manifest) -> str:
    length = trained.config["length"]
    return (
        f"of {length['images']:,} planned" if length["images"] else f"of {length['epochs']:g} epochs planned"
    )


def _words(verdict: str) -> str:
    return verdict.replace("_", " ")


def _capitalised(text: str) -> str:
    return text[0].upper() + text[1:]
