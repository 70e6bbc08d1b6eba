"""The verdict on a training and what stands behind it, read from manifests and put into sentences. Imports no
torch. The names of the verdicts are in `gan_core.evaluation.judging.verdicts`."""

import re
from typing import Any, Literal

from gan_core.evaluation.external import ASSET as EXTERNAL_ASSET
from gan_core.evaluation.figures import escape_markdown, is_missing
from gan_core.evaluation.judging.verdicts import (
    FIGURE_NAMES,
    HEALTHY,
    NOTHING_FOUND,
    STOPPED,
    UNKNOWN,
    final_findings,
    findings_of_evaluation,
    findings_of_training,
    in_words,
    listed,
    nothing_found,
    verdicts_of_training,
)
from gan_core.remedies import how_to_make
from gan_core.store import Manifest
from gan_core.training.records.conditions import fp32_instead

Level = Literal["healthy", "warned", "stopped", "unknown"]


def verdict_text(trained: Manifest | None, evaluation: Manifest | None = None) -> str:
    """`healthy`, `mode collapse (stopped), stagnation`, or `unknown` where the manifest has no verdict.

    With the evaluation of its samples, and for a run that is too short, what the guards could not see: a
    training is not called healthy where nothing was learned.
    """
    if trained is None:
        of_samples = findings_of_evaluation(evaluation) if evaluation else []
        if of_samples:
            return listed([finding["verdict"] for finding in of_samples])
        return nothing_found(evaluation.figures) if is_external(evaluation) else UNKNOWN
    of_guards = verdicts_of_training(trained, evaluation)
    final = [finding["verdict"] for finding in final_findings(trained, evaluation)]
    if not final:
        return of_guards
    return listed(final) if of_guards in (HEALTHY, UNKNOWN) else f"{of_guards}, {listed(final)}"


def is_external(evaluation: Manifest | None) -> bool:
    """Whether it is of samples from elsewhere, whose training nobody watched."""
    return evaluation is not None and evaluation.asset == EXTERNAL_ASSET


def verdict_level(text: str) -> Level:
    """How bad a text of `verdict_text` is."""
    if text == NOTHING_FOUND:
        return UNKNOWN
    if text in (HEALTHY, UNKNOWN):
        return text
    return "stopped" if STOPPED in text else "warned"


def worst_of(text: str) -> str:
    """A verdict, also of several seeds, in a few words, the worst first: `mode collapse + 2 (1 of 3)`."""
    parts = text.split("; ")
    worst = next((part for part in parts if not part.startswith((HEALTHY, UNKNOWN))), parts[0])
    names, count = re.fullmatch(r"(.*?)( \(\d+ of \d+\))?", worst).groups("")
    first, *others = names.split(", ")
    return first + (f" + {len(others)}" if others else "") + count


def findings(trained: Manifest, evaluation: Manifest | None = None) -> list[dict[str, Any]]:
    """All findings, the guards' and the final ones: records with verdict, text, figure, images_seen, keys."""
    return [*findings_of_training(trained, evaluation), *final_findings(trained, evaluation)]


def finding_title(finding: dict[str, Any]) -> str:
    """`Mode collapse`."""
    return _capitalised(in_words(finding["verdict"]))


def finding_figure(finding: dict[str, Any]) -> str:
    """The figure behind a finding, and where it was measured: `Diversity: 0.12, at 30,000 images seen`."""
    name, seen = FIGURE_NAMES.get(finding["verdict"]), finding["images_seen"]
    where = [] if is_missing(seen) else [f"at {seen:,} images seen"]
    figure = [] if name is None or is_missing(finding["figure"]) else [f"{name}: {finding['figure']:.3g}"]
    return _capitalised(", ".join(figure + where))


def finding_sentence(finding: dict[str, Any]) -> str:
    """Everything that a finding says, in one paragraph."""
    seen = f"{finding_title(finding)}: {finding['text']}. {finding_figure(finding)}."
    return f"{seen} What usually helps: {'; '.join(finding['keys'])}."


def course(trained: Manifest) -> list[str]:
    """Sentences on a run that a guard ended, on a published generator that is not the last one, and on a
    precision that was not the one asked for."""
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
    if phrase := fp32_instead(trained):
        sentences.append(
            f"It was {phrase}. It counts as trained on every device: for bf16, "
            f"{how_to_make('trained_gan', trained.partition, force=True)} where that is fast."
        )
    return sentences


def verdict_markdown(trained: Manifest, evaluation: Manifest | None = None) -> str:
    """The course of a training and its findings, for Dagster's UI."""
    if verdict_text(trained, evaluation) == UNKNOWN:
        return NOT_RECORDED
    found = [finding_sentence(finding) for finding in findings(trained, evaluation)]
    return markdown_list(course(trained) + (found or ["No guard found anything wrong."]))


def markdown_list(sentences: list[str]) -> str:
    """Sentences as a list that Markdown shows as they are."""
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


def _capitalised(text: str) -> str:
    return text[:1].upper() + text[1:]
