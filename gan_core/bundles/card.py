"""The model card of a bundle, in the format of the Hugging Face Hub
(https://huggingface.co/docs/hub/model-cards): figures with intervals and protocols, data, verdict, and how to
draw from the generator and check all this."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from gan_core.bundles.contents import GRID, ONNX, REQUIREMENTS
from gan_core.config import Dataset, Experiment
from gan_core.config.datasets import Split
from gan_core.errors import GanError
from gan_core.evaluation.extractors import EXTRACTORS
from gan_core.evaluation.figures import FIGURES, MISSING, escape_markdown, is_missing, write_figure
from gan_core.evaluation.metrics import METRICS, Metric
from gan_core.evaluation.metrics.base import PIXELS, interval_names
from gan_core.evaluation.statistics.moments import PIXELS_SIDE
from gan_core.leaderboard.verdicts import course, finding_sentence, findings, markdown_list, verdict_text
from gan_core.store import Manifest
from gan_core.store.provenance import commit_in_words

TASK = "unconditional-image-generation"
NOT_STATED = "not stated"
Figures = Mapping[str, Any]


def card_text(
    experiment: Experiment,
    dataset: Dataset,
    artefacts: Mapping[str, Manifest],
    onnx: Mapping[str, Any],
) -> str:
    """README.md: `artefacts` are the evaluation and what it stands on, by asset, `onnx` is what `write_onnx`
    gives."""
    from huggingface_hub import ModelCardData

    data = ModelCardData(
        model_name=experiment.name,
        library_name="pytorch",
        pipeline_tag=TASK,
        tags=["gan", "image-generation", experiment.architecture.name],
        eval_results=list(_results(dataset, artefacts["evaluation"])),
    )
    sections = [
        _head(experiment, artefacts),
        _verdict(artefacts),
        _figures(artefacts["evaluation"]),
        _data(dataset, artefacts),
        _drawing(experiment, artefacts["trained_gan"], onnx),
        _verifying(dataset),
        _made_with(artefacts),
    ]
    return "---\n{}\n---\n\n{}\n".format(data.to_yaml(), "\n\n".join(sections))


# --- metadata ---------------------------------------------------------------------------------------------


def results_of(dataset: Dataset, evaluation: Manifest) -> list[dict[str, Any]]:
    """The figures of an evaluation, as `recorded_results` reads them from its card."""
    return sorted(map(_comparable, _results(dataset, evaluation)), key=str)


def recorded_results(card: Path) -> list[dict[str, Any]]:
    """The figures in the metadata of a model card. Raises `GanError` where it has none that can be read."""
    from huggingface_hub import ModelCard

    try:
        found = ModelCard.load(card).data.eval_results
    except Exception as error:  # YAML's, the hub's, and those of whatever else a text can be
        reason = (str(error).splitlines() or [""])[0]
        raise GanError(f"{card.name} has no metadata that can be read: {reason}") from error
    return sorted(map(_comparable, found or []), key=str)


def _comparable(result: Any) -> dict[str, Any]:
    names = ("dataset_name", "metric_type", "metric_value", "metric_config", "metric_args")
    return {name: getattr(result, name) for name in names}


def _results(dataset: Dataset, evaluation: Manifest) -> Iterator[Any]:
    """The main figure of every metric by every extractor that has a value, with its interval and protocol.

    A figure by another network than the papers' Inception is of a type of its own: nobody is to rank it
    beside theirs.
    """
    from huggingface_hub import EvalResult

    for extractor, found in evaluation.details["extractors"].items():
        alike = EXTRACTORS[extractor].compares_with_papers if extractor in EXTRACTORS else False
        for metric in METRICS.values():
            value = found.get(metric.main)
            if is_missing(value):
                continue
            yield EvalResult(
                task_type=TASK,
                dataset_type=dataset.name,
                dataset_name=dataset.name,
                dataset_split="train",
                metric_type=metric.main if alike else f"{metric.main}_by_{extractor}",
                metric_name=f"{FIGURES[metric.main].label} by {extractor}",
                metric_value=value,
                metric_config=found["protocols"].get(metric.main),
                metric_args=_interval_of(metric, found),
            )


def _interval_of(metric: Metric, found: Figures) -> dict[str, float] | None:
    low, high = (found.get(name) for name in interval_names(metric.main))
    return None if is_missing(low) or is_missing(high) else {"low": low, "high": high, "level": 0.95}


NO_VERDICT = (
    "None of the verdicts on training and samples was triggered. That alone does not make the samples good."
)
BESIDE = (
    "Compare the samples with real images yourself (fewer images have larger distances and cover less by "
    "their number alone):"
)
# By the name in the reference statistics.
REAL_AGAINST_REAL = {
    "test_against_train": "{:,} test images against the train images",
    "train_halves": "{:,} train images against the others",
}


# --- sections ---------------------------------------------------------------------------------------------


def _head(experiment: Experiment, artefacts: Mapping[str, Manifest]) -> str:
    trained = artefacts["trained_gan"]
    described = f"\n\n{escape_markdown(experiment.description)}" if experiment.description else ""
    seen, published = trained.figures.get("images_seen"), trained.details.get("published", {})
    facts = [
        f"Architecture `{experiment.architecture.name}`, objective `{experiment.objective.name}`, "
        f"conditioning `{experiment.conditioning.name}`, seed {experiment.seed}; "
        f"{trained.figures.get('parameters_generator', 0):,} parameters.",
        f"Trained on {experiment.dataset}: {seen:,} images seen"
        + (f", published at {published['images_seen']:,}." if published.get("images_seen") else "."),
    ]
    return f"# {experiment.name}{described}\n\n{' '.join(facts)}\n\n![Samples]({GRID})"


def _verdict(artefacts: Mapping[str, Manifest]) -> str:
    trained, evaluation = artefacts["trained_gan"], artefacts["evaluation"]
    sentences = course(trained) + [finding_sentence(one) for one in findings(trained, evaluation)]
    reasons = markdown_list(sentences or [NO_VERDICT])
    beside = _real_beside(evaluation, artefacts["reference_statistics"])
    return f"## Verdict: {verdict_text(trained, evaluation)}\n\n{reasons}{beside}"


def _real_beside(evaluation: Manifest, reference: Manifest) -> str:
    """A table of the samples' figures beside those of real images, on which no verdict speaks."""
    rows = []
    for extractor, found in evaluation.details["extractors"].items():
        floors = reference.details["extractors"][extractor].get("floor", {})
        for figure in (metric.main for metric in METRICS.values()):
            real, which = _of_real_images(figure, found, floors)
            if not is_missing(found.get(figure)) and not is_missing(real.get(figure)):
                cells = [FIGURES[figure].heading, write_figure(figure, found), write_figure(figure, real)]
                rows.append(f"| {' | '.join([*cells, which, extractor])} |")
    if not rows:
        return ""
    heads = (
        f"| Figure | {evaluation.details['samples']:,} samples | Real images | Which | By |\n|{'---|' * 5}"
    )
    return "\n".join(["", "", BESIDE, "", heads, *rows])


def _of_real_images(figure: str, found: Figures, floors: Mapping[str, Any]) -> tuple[Figures, str]:
    """The value of real images, by the figure's name, and which images these are."""
    if f"{figure}_real" in found:
        return {figure: found[f"{figure}_real"]}, "train images"
    for name, which in REAL_AGAINST_REAL.items():
        if figure in floors.get(name, {}).get("figures", {}):
            return floors[name]["figures"], which.format(floors[name]["samples"])
    return {}, ""


def _figures(evaluation: Manifest) -> str:
    parts = ["## Figures"]
    for extractor, found in evaluation.details["extractors"].items():
        parts += [f"### By {extractor}", _note_on(extractor), *_table_and_protocols(found)]
    return "\n\n".join(part for part in parts if part)


def _note_on(extractor: str) -> str:
    if extractor in EXTRACTORS and EXTRACTORS[extractor].compares_with_papers:
        return ""
    return (
        f"The features are those of `{extractor}`, not of the Inception network of the papers: compare these "
        "figures with others of this dataset and this protocol only."
    )


COLUMNS = {
    "_test": "against test images",
    "_untrained": "untrained generator",
    "_floor": "real against real",
}


def _table_and_protocols(found: Figures) -> list[str]:
    protocols: dict[str, int] = {}
    names = [
        name for metric in METRICS.values() for name in metric.figures if not is_missing(found.get(name))
    ]
    columns = {
        variant: head
        for variant, head in COLUMNS.items()
        if any(not is_missing(found.get(f"{name}{variant}")) for name in names)
    }
    heads = ["Figure", "Value", "95% interval", *columns.values(), "Protocol"]
    lines = [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
    for name in names:
        number = protocols.setdefault(found["protocols"].get(name, NOT_STATED), len(protocols) + 1)
        cells = [FIGURES[name].heading, write_figure(name, found), _interval_in_words(name, found)]
        cells += [_or_missing(f"{name}{variant}", found) for variant in columns]
        lines.append(f"| {' | '.join([*cells, str(number)])} |")
    listed = [f"{number}. `{protocol}`" for protocol, number in protocols.items()]
    return ["\n".join(lines), "Protocols:\n\n" + "\n".join(listed)]


def _or_missing(name: str, found: Figures) -> str:
    return write_figure(name, found) if name in FIGURES else MISSING


def _interval_in_words(name: str, found: Figures) -> str:
    ends = interval_names(name)
    if any(end not in FIGURES or is_missing(found.get(end)) for end in ends):
        return MISSING
    return " to ".join(write_figure(end, found) for end in ends)


def _data(dataset: Dataset, artefacts: Mapping[str, Manifest]) -> str:
    splits = artefacts["image_shards"].details["splits"]
    counts = ", ".join(f"{values['images']:,} {split}" for split, values in splits.items())
    lines = [
        f"- Dataset: {dataset.name}. {escape_markdown(dataset.description)}".rstrip(),
        f"- Licence of the images: {escape_markdown(dataset.licence) or NOT_STATED}. Licence of this model: "
        f"{NOT_STATED}.",
        f"- Images: {counts}; {dataset.image_size}x{dataset.image_size}, {dataset.channels} "
        f"channel{'s' if dataset.channels > 1 else ''}, `{dataset.crop}`.",
        *_source_lines(dataset),
        f"- Content of all images (sha256): `{artefacts['raw_images'].config['content']}`; the hash of each "
        "is in `inventory.parquet` below `store/raw_images`.",
    ]
    if any(PIXELS in metric.real for metric in METRICS.values()):
        lines.append(
            f"- `store/reference_statistics` holds features of these images and, to find copies, the images "
            f"themselves at {PIXELS_SIDE} pixels a side at most; `store/evaluation` shows some in its "
            "pictures. Who may not pass the images on may not pass this bundle on."
        )
    return "## Data\n\n" + "\n".join(lines)


def _source_lines(dataset: Dataset) -> list[str]:
    splits: tuple[Split, ...] = ("train", "test")
    places = [place for split in splits if (place := getattr(dataset.source, split))]
    kind = f"- Source: `{dataset.source.kind}`"
    return [kind + (f" from {', '.join(places)}." if places else ".")]


def _drawing(experiment: Experiment, trained: Manifest, onnx: Mapping[str, Any]) -> str:
    classes = trained.details.get("classes") or []
    conditional = "labels" in onnx["inputs"]
    of_class = f" --class {classes[0]}" if conditional and classes else ""
    low, high = onnx["image_range"]
    feed = '{"z": z, "labels": np.arange(16) % ' + str(len(classes)) + "}" if conditional else '{"z": z}'
    normal = experiment.latent.distribution == "normal"
    drawn = "standard_normal" if normal else "uniform"
    arguments = f"(16, {experiment.latent.size})" if normal else f"-1, 1, (16, {experiment.latent.size})"
    return f"""## How to draw from it

```
python -m gan_core sample FOLDER_OF_THIS_FILE --count 1000{of_class} --out images/
python -m gan_core sample FOLDER_OF_THIS_FILE --out grid.png
python -m gan_core sample FOLDER_OF_THIS_FILE --out walk.gif
```

Without this project, by `{ONNX}` (opset {onnx["opset"]}; {onnx["compared"]:,} images differ from those of \
PyTorch by {onnx["largest_difference"]:.1e} at most, in values from {low:g} to {high:g}):

```python
import numpy as np, onnxruntime
z = np.random.default_rng(0).{drawn}({arguments}).astype(np.float32)
session = onnxruntime.InferenceSession("{ONNX}")
(images,) = session.run(["images"], {feed})  # (16, C, H, W), {low:g} to {high:g}
```"""


def _verifying(dataset: Dataset) -> str:
    return f"""## How to verify it

In a clone of the project, with the packages of `{REQUIREMENTS}`:

```
uv pip install -r FOLDER_OF_THIS_FILE/{REQUIREMENTS}
python -m gan_core verify FOLDER_OF_THIS_FILE
```

checks every byte, draws the samples again, measures every figure again, and says which agree. Who has the
images also measures what stands on them:

```
python -m gan_core shard {dataset.name} --configs FOLDER_OF_THIS_FILE/configs --store STORE
python -m gan_core verify FOLDER_OF_THIS_FILE --store STORE
```"""


def _made_with(artefacts: Mapping[str, Manifest]) -> str:
    lines = []
    for asset in ("trained_gan", "evaluation"):
        made = artefacts[asset].provenance
        packages, machine = made.get("packages", {}), made.get("machine", {})
        versions = ", ".join(
            f"{name} {packages[name]}" for name in ("python", "torch", "numpy") if name in packages
        )
        where = machine.get("processor") or "a processor that is not recorded"
        if machine.get("gpus"):
            where += f", {', '.join(machine['gpus'])}"
        commit = commit_in_words(made) or "not recorded"
        lines.append(f"- `{asset}`: {versions}; commit {commit}; {where}; {artefacts[asset].created_at}")
    return "## Made with\n\n" + "\n".join(lines)
