"""How a message tells its reader to make an artefact: the command to type, or the action in Dagster's UI."""

# What `assets` sets, so that a message in Dagster's UI names what can be done there.
in_dagster = False
# There: which job makes which asset, with what that stands on.
jobs: dict[str, str] = {}

# Which command makes which artefact of which partition.
COMMANDS = {
    "raw_images": "shard",
    "duplicates": "shard",
    "image_shards": "shard",
    "classifier": "reference",
    "reference_statistics": "reference",
    "trained_gan": "train",
    "samples": "sample",
    "evaluation": "evaluate",
    "analysis": "analyse",
    "chosen_analysis": "analyse",
    "external_evaluation": "leaderboard add",
    "leaderboard": "report",
    "champion": "champion --promote",
    "answer": "compare",
    "answers": "report",
    "report": "report",
}
WITHOUT_PARTITION = ("leaderboard", "answers", "report")


def how_to_make(asset: str, partition: str, *, force: bool = False) -> str:
    """The command, `run python -m gan_core shard digits --force`, or in Dagster what to press, `launch the
    job prepare_dataset for digits, or materialise image_shards of digits`.

    The end of a sentence that begins with what is wrong, as in "… is missing: run …".
    """
    if in_dagster:
        return _in_dagster(asset, "" if asset in WITHOUT_PARTITION else f" of `{partition}`", force)
    words = ["python -m gan_core", COMMANDS.get(asset, asset)]
    words += [] if asset in WITHOUT_PARTITION else [partition]
    return f"run `{' '.join(words + (['--force'] if force else []))}`"


def _in_dagster(asset: str, of_partition: str, force: bool) -> str:
    """What is missing may stand on something that is missing too: the job makes all of it."""
    by_hand = f"materialise {asset}{of_partition}"
    if force:
        return f"{by_hand} with `force: true`"
    job = jobs.get(asset)
    return f"launch the job {job}{of_partition.replace(' of ', ' for ')}, or {by_hand}" if job else by_hand
